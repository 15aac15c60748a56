/* Hashes the ranges of a file with Web Crypto, in a worker, and reports progress. Nothing leaves the machine. */
"use strict";

const READ_BYTES = 16 * 1024 * 1024; // a multiple of every range size

onmessage = async ({ data: { file, rangeBytes } }) => {
  try {
    const digests = new Uint8Array(32 * Math.ceil(file.size / rangeBytes));
    let place = 0;
    for (let at = 0; at < file.size; at += READ_BYTES) {
      const block = await file.slice(at, at + READ_BYTES).arrayBuffer();
      if (block.byteLength !== Math.min(READ_BYTES, file.size - at)) throw new Error("the file changed while it was read");
      const pieces = [];
      for (let from = 0; from < block.byteLength; from += rangeBytes) {
        pieces.push(crypto.subtle.digest("SHA-256", new Uint8Array(block, from, Math.min(rangeBytes, block.byteLength - from))));
      }
      for (const digest of await Promise.all(pieces)) digests.set(new Uint8Array(digest), 32 * place++);
      postMessage({ done: at + block.byteLength });
    }
    postMessage({ digests, root: new Uint8Array(await crypto.subtle.digest("SHA-256", digests)) });
  } catch (error) {
    postMessage({ fault: String(error.message || error) });
  }
};
