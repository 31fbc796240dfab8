/** A web server on this machine, for tests of what is loaded from a URL. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Page {
  readonly status?: number;
  readonly type?: string;
  /** Beside the content's type. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export interface Site {
  /** "http://127.0.0.1:PORT". */
  readonly origin: string;
  /** Paths, with queries, of all requests so far, by whatever part of a browser. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

/** Serves `pages` by path ("/kernel.wasm"), whatever the query; other paths get status 404 and a page in HTML. */
export async function serve(pages: Readonly<Record<string, Page>>): Promise<Site> {
  const missing: Page = { status: 404, type: "text/html", body: "<!doctype html>not here" };
  const requests: string[] = [];
  const server = createServer(({ url = "/" }, response) => {
    requests.push(url);
    const page = pages[url] ?? pages[url.replace(/\?.*/, "")] ?? missing;
    const { status = 200, type = "application/octet-stream", headers = {}, body } = page;
    response.writeHead(status, { ...headers, "content-type": type }).end(body);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    requests,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections();
      }),
  };
}
