/** A web server on this machine, for tests of what is loaded from a URL. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Page {
  readonly status?: number;
  readonly type?: string;
  readonly body: string | Uint8Array;
}

export interface Site {
  /** "http://127.0.0.1:PORT". */
  readonly origin: string;
  close(): Promise<void>;
}

/** Serves `pages` by path ("/kernel.wasm"); other paths get status 404 and a page in HTML. */
export async function serve(pages: Readonly<Record<string, Page>>): Promise<Site> {
  const missing: Page = { status: 404, type: "text/html", body: "<!doctype html>not here" };
  const server = createServer(({ url = "/" }, response) => {
    const { status = 200, type = "application/octet-stream", body } = pages[url] ?? missing;
    response.writeHead(status, { "content-type": type }).end(body);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections();
      }),
  };
}
