// A billing system that is told by webhook: verifies the signature (Standard Webhooks), fetches the report, checks it,
// and keeps it in a folder. Node 20, nothing else.
//
//   WEBHOOK_SECRET=whsec_... TALLYPORT_TOKEN=... node receiver.mjs --port 9300 --reports http://127.0.0.1:8083 --into ./inbox
//
// Messages come at least once: a report that is in the folder is not fetched again. Whatever goes wrong is answered with
// 500, and the message comes again later.

import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { createWriteStream } from "node:fs";
import { access, mkdir, rename, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";

const TOLERANCE_SECONDS = 300;
const MAX_BODY_BYTES = 1024 * 1024;

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "9300" },
    reports: { type: "string" },
    into: { type: "string", default: "inbox" },
  },
});
const secret = Buffer.from((process.env.WEBHOOK_SECRET ?? "").replace(/^whsec_/, ""), "base64");
const token = process.env.TALLYPORT_TOKEN;
if (!options.reports || !token || secret.length < 24) {
  console.error("needed: --reports URL, and in the environment WEBHOOK_SECRET and TALLYPORT_TOKEN");
  process.exit(2);
}

function isGenuine(headers, body) {
  const timestamp = Number(headers["webhook-timestamp"]);
  if (!(Math.abs(Date.now() / 1000 - timestamp) <= TOLERANCE_SECONDS)) return false;
  const expected = createHmac("sha256", secret)
    .update(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`)
    .update(body)
    .digest();
  return (headers["webhook-signature"] ?? "").split(" ").some((one) => {
    const given = Buffer.from(one.replace(/^v1,/, ""), "base64");
    return one.startsWith("v1,") && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

async function bodyOf(request) {
  const blocks = [];
  let size = 0;
  for await (const block of request) {
    size += block.length;
    if (size > MAX_BODY_BYTES) throw new Error("the message is too large");
    blocks.push(block);
  }
  return Buffer.concat(blocks);
}

async function fetchPart(reportId, number, part) {
  const name = decodeURIComponent(new URL(part.uri).pathname.split("/").pop());
  const target = join(options.into, `${encodeURIComponent(reportId)}-${name}`);
  const there = await access(target).then(() => true, () => false);
  if (there) return;
  const answer = await fetch(`${options.reports}/v1/reports/${encodeURIComponent(reportId)}/parts/${number}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  if (!answer.ok) throw new Error(`${reportId}, part ${number}: ${answer.status}`);
  const digest = createHash("sha256");
  let size = 0;
  async function* counted(blocks) {
    for await (const block of blocks) {
      digest.update(block);
      size += block.length;
      yield block;
    }
  }
  const temporary = `${target}.part`;
  await pipeline(answer.body, counted, createWriteStream(temporary));
  if (size !== part.size || digest.digest("hex") !== part.sha256) {
    await rm(temporary);
    throw new Error(`${reportId}, part ${number}: not what was announced`);
  }
  await rename(temporary, target);
  console.log(`${reportId}: ${name} is in ${options.into}`);
}

async function take(request) {
  const body = await bodyOf(request);
  if (!isGenuine(request.headers, body)) return 401;
  const message = JSON.parse(body);
  if (message.type !== "report.ready") {
    console.log(`${message.data.report_id}: ${message.type}: ${message.data.reason}`);
    return 204;
  }
  for (const [index, part] of message.data.parts.entries()) await fetchPart(message.data.report_id, index + 1, part);
  return 204;
}

await mkdir(options.into, { recursive: true });
createServer(async (request, response) => {
  let status = 500;
  try {
    status = request.method === "POST" ? await take(request) : 405;
  } catch (error) {
    console.error(error.message);
  }
  response.writeHead(status).end();
}).listen(Number(options.port), "127.0.0.1", () => console.log(`listening on port ${options.port}`));
