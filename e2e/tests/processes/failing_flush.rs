//! A disk that refuses a flush, and says that all is well when it is asked again, as Linux does: it keeps in memory what the disk did not take.
//!
//! strace (from Debian) lets the calls of the running server fail, and then leaves it alone.

use darkslide_e2e::engine::Engine;
use darkslide_e2e::process::{ServerProcess, terminate};
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::strace;
use reqwest::{Client, Method, RequestBuilder};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

/// As long as it lasts, no flush of one file or folder works.
struct Fault {
    tracer: Child,
    /// Kept, for it goes on speaking.
    _told: BufReader<ChildStderr>,
}

impl Fault {
    /// `None` where this user may not trace the server.
    #[expect(clippy::print_stderr, reason = "what is not tested must be seen")]
    fn begin(server: &ServerProcess, path: &Path) -> Option<Self> {
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
        command.args(["-e", "inject=fsync,fdatasync:error=EIO", "-p", &server.id().to_string(), "-P"]);
        let mut tracer = command.arg(path).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(tracer.stderr.take().unwrap());
        let mut line = String::new();
        while told.read_line(&mut line).unwrap() > 0 {
            if line.contains(&format!("Process {} attached", server.id())) {
                return Some(Self { tracer, _told: told });
            }
        }
        tracer.wait().unwrap();
        assert!(std::env::var_os("CI").is_none(), "CI may trace, and must: {line}");
        eprintln!("no right to trace: what becomes of a flush that fails was NOT tested: {line}");
        None
    }

    fn end(mut self) {
        terminate(self.tracer.id());
        self.tracer.wait().unwrap();
    }
}

/// One resumable upload.
struct Upload {
    client: Client,
    token: String,
    url: String,
}

impl Upload {
    async fn begin(server: &ServerProcess, token: &str, length: usize) -> Self {
        let url = format!("{}/v1/uploads", server.base());
        let mut upload = Self { client: Client::new(), token: token.to_owned(), url };
        let begun = upload.request(Method::POST).header("Upload-Length", length).send().await.unwrap();
        assert_eq!(begun.status(), 201);
        begun.headers()["location"].to_str().unwrap().clone_into(&mut upload.url);
        upload
    }

    fn request(&self, method: Method) -> RequestBuilder {
        let request = self.client.request(method, &self.url);
        request.header("X-Auth-Token", &self.token).header("Tus-Resumable", "1.0.0")
    }

    async fn append(&self, offset: usize, bytes: &[u8]) -> u16 {
        let request = self.request(Method::PATCH).header("Content-Type", "application/offset+octet-stream");
        let request = request.header("Upload-Offset", offset).body(bytes.to_vec());
        request.send().await.unwrap().status().as_u16()
    }

    async fn offset(&self) -> usize {
        let answer = self.request(Method::HEAD).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.headers()["upload-offset"].to_str().unwrap().parse().unwrap()
    }

    fn id(&self) -> &str {
        self.url.rsplit('/').next().unwrap()
    }
}

/// `PATCH` was 503, and the next `HEAD` told an offset behind bytes that the disk had refused: a power cut would have taken them.
#[tokio::test]
async fn what_could_not_be_flushed_is_not_acknowledged_later() {
    if !strace::is_there("what becomes of a flush that fails") {
        return;
    }
    let server = ServerProcess::start(&Engine::Sqlite).await;
    let phone = mobile::sign_up(&server, ANDROID, "flush@example.org", "password").await;
    let bytes: Vec<u8> = (0..500_100_usize).map(|at| (at * 31 + at / 251).to_le_bytes()[0]).collect();
    let upload = Upload::begin(&server, phone.http.token.as_deref().unwrap(), bytes.len()).await;
    assert_eq!(upload.append(0, &bytes[..100]).await, 204);
    let growing = server.data_dir().join("uploads").join(upload.id());
    let Some(fault) = Fault::begin(&server, &growing) else { return };
    assert_eq!(upload.append(100, &bytes[100..400_000]).await, 503);
    fault.end();
    assert_eq!(upload.offset().await, 100);
    assert_eq!(upload.append(100, &bytes[100..400_000]).await, 204);
    // The last bytes are flushed, and the name of the object that they complete is not.
    let folder = server.data_dir().join("objects").join(&upload.id()[..2]);
    let Some(fault) = Fault::begin(&server, &folder) else { return };
    assert_eq!(upload.append(400_000, &bytes[400_000..]).await, 503);
    fault.end();
    let in_place =
        || std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(in_place(), [] as [std::path::PathBuf; 0], "the name is written anew by whoever tries next");
    assert!(growing.exists());
    assert_eq!(upload.offset().await, bytes.len());
    let [object] = &in_place()[..] else { panic!("not one object in {folder:?}") };
    assert_eq!(std::fs::read(object).unwrap(), bytes);
}
