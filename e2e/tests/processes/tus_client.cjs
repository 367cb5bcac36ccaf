// Plays one upload with tus-js-client, a client that this project did not write, and tells each step as a line of JSON.
//
// Arguments: one JSON object {action, endpoint, token, path, uploadUrl?}. `DARKSLIDE_NODE_MODULES` is where tus-js-client is.

"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const tus = require(path.join(process.env.DARKSLIDE_NODE_MODULES, "tus-js-client"));

const { action, endpoint, token, path: file, uploadUrl } = JSON.parse(process.argv[2]);
const bytes = fs.readFileSync(file);
const CHUNK = 256 * 1024;

function tell(what) {
  fs.writeSync(1, JSON.stringify(what) + "\n");
}

const options = {
  endpoint,
  headers: { "X-Auth-Token": token },
  metadata: { filename: "a name that the server must not keep" },
  retryDelays: [0, 100, 200, 400, 800, 1600, 3200],
  onSuccess: () => tell({ done: upload.url }),
  onError: (error) => tell({ failed: error.originalResponse ? error.originalResponse.getStatus() : 0 }),
  onChunkComplete: (size, accepted) => {
    tell({ accepted });
    if (action === "abort" && accepted >= 2 * CHUNK) {
      upload.abort().then(() => tell({ aborted: upload.url }));
    }
    if (action === "terminate" && accepted >= 2 * CHUNK) {
      upload.abort(true).then(() => tell({ terminated: upload.url }));
    }
  },
};

if (action !== "whole") {
  options.chunkSize = CHUNK;
}
if (action === "creation") {
  options.uploadDataDuringCreation = true;
}
if (action === "parallel") {
  options.parallelUploads = 2;
}
if (action === "override") {
  options.overridePatchMethod = true;
}
if (uploadUrl) {
  options.uploadUrl = uploadUrl;
}
if (action === "checksum" || action === "damage") {
  options.onBeforeRequest = (request) => {
    if (request.getMethod() === "PATCH") {
      const offset = Number(request.getHeader("Upload-Offset"));
      const chunk = Buffer.from(bytes.subarray(offset, offset + CHUNK));
      if (action === "damage") {
        chunk[0] ^= 1;
      }
      const hash = crypto.createHash("sha1").update(chunk).digest("base64");
      request.setHeader("Upload-Checksum", `sha1 ${hash}`);
    }
  };
}

const upload = new tus.Upload(bytes, options);
upload.start();
