"""What schemathesis cannot know of the API: bodies that are not JSON, how integers are written, and ids that nobody guesses.

Loaded once a run, with the server's address and a session's token in the environment.
"""

import base64
import hashlib
import json
import os
import re

import requests
import schemathesis
from hypothesis import strategies as st
from nacl.bindings import crypto_scalarmult_base

URL = os.environ["DARKSLIDE_URL"]
SESSION = {"X-Auth-Token": os.environ["DARKSLIDE_TOKEN"]}
TUS = {"Tus-Resumable": "1.0.0"}


# Bodies. A batch is frames (docs/api.md, "Batches"): whole ones and ones that break off, of all kinds and of none.


def with_length(kind, content):
    return kind + len(content).to_bytes(8, "little") + content


def record(kind):
    return st.dictionaries(st.text(), st.text()).map(lambda value: with_length(kind, json.dumps(value).encode()))


OBJECTS = st.tuples(st.binary(min_size=16, max_size=16), st.binary(max_size=64)).map(
    lambda object: b"\x01" + object[0] + len(object[1]).to_bytes(8, "little") + object[1]
)
FRAMES = st.one_of(OBJECTS, record(b"\x02"), record(b"\x03"), st.binary(max_size=32))

schemathesis.openapi.media_type("application/vnd.darkslide.batch", st.lists(FRAMES, max_size=4).map(b"".join))
schemathesis.openapi.media_type("application/offset+octet-stream", st.binary(max_size=64))


def without_fractions(value):
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [without_fractions(item) for item in value]
    if isinstance(value, dict):
        return {key: without_fractions(item) for key, item in value.items()}
    return value


# A session is on one device for good: whatever else is made up of a device, its id is this one where it is an id at all.
DEVICE = "6a3c8f5e-0000-4000-8000-000000000001"
DEVICE_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def on_one_device(value):
    if isinstance(value, dict) and "sealedName" in value and DEVICE_ID.fullmatch(str(value.get("id"))):
        return {**value, "id": DEVICE}
    return value


@schemathesis.hook
def map_body(context, body):
    """For JSON Schema 1.0 is an integer; in this API integers are written without a fraction, as the document's description says."""
    return on_one_device(without_fractions(body))


# Ids: of files that were edited, of their earlier versions, of an upload that has begun, and of another device. Half of the made-up ids become
# these.


def ask(method, path, **arguments):
    answer = requests.request(method, URL + path, headers=SESSION, timeout=20, **arguments)
    if not answer.ok:
        raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
    return answer.json()


def base64_of(length):
    return base64.b64encode(bytes(length)).decode()


def set_keys():
    """Keys that open nothing, once: the server cannot tell. Without them an account stores nothing."""
    keys = {
        "kekSalt": base64_of(16),
        "memLimit": 268435456,
        "opsLimit": 16,
        "publicKey": base64.b64encode(crypto_scalarmult_base(bytes(range(32)))).decode(),
    }
    for key, nonce in [
        ("encryptedKey", "keyDecryptionNonce"),
        ("encryptedSecretKey", "secretKeyDecryptionNonce"),
        ("masterKeyEncryptedWithRecoveryKey", "masterKeyDecryptionNonce"),
        ("recoveryKeyEncryptedWithMasterKey", "recoveryKeyDecryptionNonce"),
    ]:
        keys |= {key: base64_of(48), nonce: base64_of(24)}
    requests.put(URL + "/users/attributes", headers=SESSION, json={"keyAttributes": keys}, timeout=20)


def store(content):
    """One object, stored; as a commit names it."""
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    minted = ask("POST", "/files/upload-url", json={"contentLength": len(content), "contentMD5": md5})
    requests.put(minted["url"], data=content, timeout=20).raise_for_status()
    return {"objectKey": minted["objectKey"], "decryptionHeader": "aGVhZGVy", "size": len(content)}


def contents(name):
    metadata = {"encryptedData": "bWV0YQ==", "decryptionHeader": "aGVhZGVy"}
    return {"file": store(name + b" original"), "thumbnail": store(name + b" thumbnail"), "metadata": metadata}


def edited_file():
    key = {"encryptedKey": base64_of(48), "keyDecryptionNonce": base64_of(24)}
    name = {"encryptedName": "bmFtZQ==", "nameDecryptionNonce": "bm9uY2U="}
    album = ask("POST", "/collections", json={**key, **name, "type": "album"})["collection"]["id"]
    file = ask("POST", "/files", json={**key, **contents(b"first"), "collectionID": album})["id"]
    ask("PUT", "/files/update", json={**contents(b"second"), "id": file})
    return file, ask("GET", f"/v1/files/{file}/versions")["versions"][0]["version"]


def begun_upload():
    answer = requests.post(URL + "/v1/uploads", headers={**SESSION, **TUS, "Upload-Length": "1000000"}, timeout=20)
    answer.raise_for_status()
    return answer.headers["Location"].rsplit("/", 1)[1]


set_keys()
READ = edited_file()
# A version that was brought back is none of the earlier ones any more.
RESTORED = edited_file()
UPLOAD = begun_upload()
OTHERS = [device["id"] for device in ask("GET", "/v1/devices")["devices"] if not device["isThis"]]


def is_even(value):
    """A made-up value's own coin: the same in each run."""
    return hashlib.md5(str(value).encode()).digest()[0] % 2 == 0


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    path = context.operation.path
    if path_parameters and path.startswith("/v1/files/") and is_even(path_parameters.get("id")):
        file, version = RESTORED if path.endswith("/restore") else READ
        path_parameters["id"] = file
        if "version" in path_parameters:
            path_parameters["version"] = version
    # One that the first run signed in with; it is there once.
    if path_parameters and path == "/v1/devices/{id}" and OTHERS and is_even(path_parameters.get("id")):
        path_parameters["id"] = OTHERS[0]
    # The call that ends an upload keeps its made-up ids: the others still need it.
    is_upload = path == "/v1/uploads/{id}" and context.operation.method != "delete"
    # Bytes are always sent to the upload that is there: of a few dozen calls too many would meet nothing else.
    is_meant = context.operation.method == "patch" or is_even((path_parameters or {}).get("id"))
    if path_parameters and is_upload and is_meant:
        path_parameters["id"] = UPLOAD
    return path_parameters
