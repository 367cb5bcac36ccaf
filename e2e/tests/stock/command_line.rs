//! The command line: `account add`, a first export, a second one, and what changed in between.

use crate::scene::{PASSWORD, album, new_web, on_each_engine, upload};
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::{command_line, web};

#[tokio::test]
async fn exports_what_is_there_and_then_only_what_changed() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut web = new_web(server).await;
        let (summer, winter) = (album(&mut web, "Summer").await, album(&mut web, "Winter").await);
        let gone = album(&mut web, "Gone").await;
        let (first, _) = upload(&web, summer, "one.jpg").await;
        let (second, _) = upload(&web, winter, "two.jpg").await;
        web.delete_collection(gone, true).await.ok();

        let mut export = command_line::add_account(server, &web.account().email, PASSWORD).await;
        let (files, asked) = command_line::export(&mut export).await;
        assert_eq!(asked, 2, "tombstones are passed over on the first run");
        assert_eq!(files[&("Summer".to_owned(), "one.jpg".to_owned())], first.content);
        assert_eq!(files[&("Winter".to_owned(), "two.jpg".to_owned())], second.content);
        assert_eq!(files.len(), 2);

        let (files, asked) = command_line::export(&mut export).await;
        assert_eq!((files.len(), asked), (2, 0), "nothing changed, nothing is asked for");

        web::pull(&mut web).await;
        let (third, committed) = upload(&web, winter, "three.jpg").await;
        web.trash(&[(web.mirror.live(summer)[0].id, summer)]).await.ok();
        let (files, asked) = command_line::export(&mut export).await;
        assert_eq!(asked, 2);
        assert_eq!(files.len(), 2);
        assert_eq!(files[&("Winter".to_owned(), "three.jpg".to_owned())], third.content);
        assert!(export.mirror.albums_of(committed.row.id).contains(&winter));
    })
    .await;
}
