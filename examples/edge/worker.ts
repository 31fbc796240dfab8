/** The service as a Cloudflare Worker, or on any other host of workerd. */
import { createService, type Handler } from "./service.ts";
import { readSettings } from "./settings.ts";

/** Made with the first request, as the settings come with it. */
let handle: Handler | null = null;

export default {
  fetch(request: Request, environment: Record<string, unknown>): Promise<Response> {
    handle ??= createService(readSettings(environment), { name: "workerd" });
    return handle(request);
  },
};
