/** The HTTP service, for any host that has `Request` and `Response`: routes, and the order of the checks. */
import { checkDeclaredLength, readBody } from "./body.ts";
import { GRACE_MS, openStream } from "./evaluation.ts";
import { Gate } from "./gate.ts";
import { inputTypeOf, inputTypes, readSequence } from "./inputs.ts";
import { cell, loadRuntime } from "./model.ts";
import { Refusal, refuse } from "./refusal.ts";
import { resultFormatFor, resultFormats } from "./results.ts";
import type { Settings } from "./settings.ts";

export interface Host {
  readonly name: string;
  /** Bytes that the process or isolate holds, where the host tells. */
  readonly memory?: () => Readonly<Record<string, number>>;
}

export type Handler = (request: Request) => Promise<Response>;

type Route = Readonly<Partial<Record<string, Handler>>>;

export function createService(settings: Settings, host: Host): Handler {
  const { maxConcurrent, bodyTimeoutMs, timeBudgetMs } = settings;
  const gate = new Gate(maxConcurrent, bodyTimeoutMs + timeBudgetMs + GRACE_MS);
  const counts = { requests: 0, refused: 0, done: 0, failed: 0, abandoned: 0, steps: 0 };

  async function evaluate(request: Request): Promise<Response> {
    const format = resultFormatFor(request);
    const type = inputTypeOf(request);
    checkDeclaredLength(request, settings);
    const leave = gate.enter();
    // Where a host drops the rest of the work with the connection, this is still called.
    request.signal.addEventListener("abort", leave);
    try {
      const body = await readBody(request, settings);
      const { searchParams } = new URL(request.url);
      const sequence = readSequence(type, body, searchParams, cell, settings);
      const stream = await openStream({
        cell,
        runtime: await loadRuntime(),
        sequence,
        settings,
        format,
        hangUp: request.signal,
        onSteps: (steps) => {
          counts.steps += steps;
        },
        onEnd: (end) => {
          counts[end]++;
          leave();
        },
      });
      return new Response(stream, {
        headers: { "content-type": format.type, "cache-control": "no-store" },
      });
    } catch (error) {
      leave();
      throw error;
    }
  }

  async function describe(): Promise<Response> {
    return Response.json({
      service: "Antler on the edge: POST /evaluate takes inputs, and streams the states",
      host: host.name,
      model: { cell: cell.name, inputSize: cell.inputSize, stateSize: cell.stateSize },
      accepts: inputTypes,
      answers: resultFormats.map((format) => format.type),
      limits: settings,
    });
  }

  async function health(): Promise<Response> {
    await loadRuntime();
    const body = { ok: true, active: gate.taken, ...counts, memory: host.memory?.() ?? null };
    return Response.json(body, { headers: { "cache-control": "no-store" } });
  }

  const routes: Readonly<Record<string, Route>> = {
    "/": { GET: describe, HEAD: describe },
    "/health": { GET: health, HEAD: health },
    "/evaluate": { POST: evaluate },
  };

  return async (request) => {
    counts.requests++;
    try {
      return await handlerFor(request, routes)(request);
    } catch (error) {
      counts.refused++;
      return refuse(error);
    }
  };
}

/** @throws Refusal for a path or a method that is not served. */
function handlerFor(request: Request, routes: Readonly<Record<string, Route>>): Handler {
  const { pathname } = new URL(request.url);
  const route = Object.hasOwn(routes, pathname) ? routes[pathname] : null;
  if (!route) {
    const expected = Object.keys(routes).join(", ");
    throw new Refusal(404, "not-found", { field: "path", expected, got: pathname.slice(0, 100) });
  }
  const { method } = request;
  const handler = Object.hasOwn(route, method) ? route[method] : null;
  if (!handler) {
    const allow = Object.keys(route).join(", ");
    const details = { field: "method", expected: allow, got: method };
    throw new Refusal(405, "method-not-allowed", details, { allow });
  }
  return handler;
}
