"""The other side of the cross-check: every construction again, by libsodium itself (PyNaCl).

Reads a JSON list of requests from standard input and writes the list of answers to standard output. Bytes travel
as base64. A request that does not open answers null. Holds no logic of its own beyond the chunking of files.
"""

import base64
import json
import sys

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

CHUNK = 4 * 1024 * 1024
OVERHEAD = sodium.crypto_secretstream_xchacha20poly1305_ABYTES
MESSAGE = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
FINAL = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL


def pwhash(password, salt, ops, mem):
    return sodium.crypto_pwhash_alg(32, password, salt, ops, mem, sodium.crypto_pwhash_ALG_ARGON2ID13)


def login_key(key):
    return sodium.crypto_generichash_blake2b_salt_personal(
        b"", digest_size=32, key=key, salt=(1).to_bytes(8, "little"), person=b"loginctx"
    )[:16]


def content_tag(master_key, content_hash):
    key = sodium.crypto_generichash_blake2b_salt_personal(
        b"", digest_size=32, key=master_key, salt=(1).to_bytes(8, "little"), person=b"drkslide"
    )
    return sodium.crypto_generichash_blake2b_salt_personal(content_hash, digest_size=32, key=key)


def encrypt(key, plain):
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    header = sodium.crypto_secretstream_xchacha20poly1305_init_push(state, key)
    starts = range(0, max(len(plain), 1), CHUNK)
    sealed = b"".join(
        sodium.crypto_secretstream_xchacha20poly1305_push(
            state, plain[start : start + CHUNK], None, FINAL if start + CHUNK >= len(plain) else MESSAGE
        )
        for start in starts
    )
    return header + sealed


def decrypt(key, header, sealed):
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    plain, tags = [], []
    for start in range(0, len(sealed), CHUNK + OVERHEAD):
        message, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(
            state, sealed[start : start + CHUNK + OVERHEAD], None
        )
        plain.append(message)
        tags.append(tag)
    if tags != [MESSAGE] * (len(tags) - 1) + [FINAL]:
        raise CryptoError("the final chunk is not where it belongs")
    return b"".join(plain)


OPERATIONS = {
    "pwhash": pwhash,
    "login_key": login_key,
    "content_tag": content_tag,
    "public_key": sodium.crypto_scalarmult_base,
    "box": lambda key, nonce, message: sodium.crypto_secretbox(message, nonce, key),
    "box_open": lambda key, nonce, sealed: sodium.crypto_secretbox_open(sealed, nonce, key),
    "seal": lambda public, message: sodium.crypto_box_seal(message, public),
    "seal_open": lambda public, secret, sealed: sodium.crypto_box_seal_open(sealed, public, secret),
    "encrypt": encrypt,
    "decrypt": decrypt,
    "hash": lambda message: sodium.crypto_generichash_blake2b_salt_personal(message, digest_size=64),
}


def answer(request):
    arguments = [
        base64.b64decode(argument) if isinstance(argument, str) else argument for argument in request["arguments"]
    ]
    try:
        result = OPERATIONS[request["operation"]](*arguments)
    except CryptoError:
        return None
    return base64.b64encode(result).decode()


if __name__ == "__main__":
    json.dump([answer(request) for request in json.load(sys.stdin)], sys.stdout)
