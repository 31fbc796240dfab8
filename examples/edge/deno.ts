/** The service on Deno: deno run --allow-net deno.ts (and --allow-env for other settings). */
import { createService } from "./service.ts";
import { readSettings } from "./settings.ts";

/** What is used of Deno here, for readers and compilers without its types. */
declare const Deno: {
  serve(
    options: { hostname: string; port: number; onListen: (address: { port: number }) => void },
    handler: (request: Request) => Promise<Response>,
  ): unknown;
  env: { toObject(): Record<string, string> };
  permissions: { querySync(permission: { name: "env" }): { state: string } };
  memoryUsage(): { rss: number; heapTotal: number; heapUsed: number; external: number };
};

// Without the permission there is nothing to ask for: the defaults will do.
const mayReadEnvironment = Deno.permissions.querySync({ name: "env" }).state === "granted";
const environment = mayReadEnvironment ? Deno.env.toObject() : {};

const handle = createService(readSettings(environment), {
  name: "Deno",
  memory: () => {
    const { rss, heapTotal, heapUsed, external } = Deno.memoryUsage();
    return { rss, heapTotal, heapUsed, external };
  },
});

const hostname = environment.HOST || "127.0.0.1";
Deno.serve(
  {
    hostname,
    port: Number(environment.PORT ?? 8000),
    onListen: ({ port }) => console.log(`listening on http://${hostname}:${port}`),
  },
  handle,
);
