/** The service on Node, to try it: npx tsx node.ts */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeStream } from "node:stream/web";
import { createService } from "./service.ts";
import { readSettings } from "./settings.ts";

const settings = readSettings(process.env);
const handle = createService(settings, {
  name: "Node",
  memory: () => {
    const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
    return { rss, heapUsed, arrayBuffers };
  },
});

function requestOf(message: IncomingMessage): Request {
  const headers = new Headers();
  for (let i = 0; i < message.rawHeaders.length; i += 2) {
    headers.append(message.rawHeaders[i], message.rawHeaders[i + 1]);
  }
  const { method = "GET", url = "/" } = message;
  const hasBody = method !== "GET" && method !== "HEAD";
  const options = { method, headers, ...(hasBody && { body: Readable.toWeb(message) }) };
  return new Request(new URL(url, "http://localhost"), {
    ...options,
    duplex: "half",
  } as unknown as RequestInit);
}

async function answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, headers, body } = await handle(requestOf(message));
  // The rest of a body that was refused is not waited for.
  if (!message.complete) response.setHeader("connection", "close");
  response.writeHead(status, Object.fromEntries(headers));
  if (!body || message.method === "HEAD") response.end();
  else await pipeline(Readable.fromWeb(body as NodeStream), response);
}

const server = createServer(
  { headersTimeout: settings.bodyTimeoutMs, requestTimeout: 2 * settings.bodyTimeoutMs },
  (message, response) => {
    answer(message, response).catch(() => response.destroy());
  },
);
const hostname = process.env.HOST || "127.0.0.1";
server.listen(Number(process.env.PORT ?? 8000), hostname, () => {
  const { port } = server.address() as AddressInfo;
  console.log(`listening on http://${hostname}:${port}`);
});
