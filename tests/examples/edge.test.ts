/** The edge example on Deno, workerd and Node: right states, and reasons where it refuses. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeModel } from "../../examples/edge/make-model.ts";
import { readSettings } from "../../examples/edge/settings.ts";
import {
  type Answer,
  binaryBody,
  edgeProblem,
  faultOf,
  hiddenSize,
  inputSize,
  jsonBody,
  type Problem,
  readFrames,
  readLines,
} from "../support/edge-client.ts";
import {
  type EdgeHost,
  type EdgeHostName,
  startDenoFromSource,
  startEdge,
} from "../support/edge-hosts.ts";

const json = { "content-type": "application/json" };
const binary = { "content-type": "application/octet-stream" };
const NDJSON = "application/x-ndjson";
const FRAMES = "application/octet-stream";

/** States by host, to compare them with one another. */
const statesOf = new Map<EdgeHostName, number[]>();

describe.each<EdgeHostName>(["Deno", "workerd", "Node"])("the edge example on %s", (name) => {
  let host: EdgeHost;
  let problem: Problem;
  let fromZeros: Problem;
  beforeAll(async () => {
    host = await startEdge(name, { MAX_BODY_BYTES: "200000", MAX_STEPS: "2000" });
    [problem, fromZeros] = await Promise.all([edgeProblem(777, 1), edgeProblem(300, 2, true)]);
  });
  afterAll(() => host?.stop());

  const post = (body: BodyInit, headers: HeadersInit = json, query = "") =>
    fetch(`${host.origin}/evaluate${query}`, { method: "POST", headers, body });

  async function answerOf(response: Response): Promise<Answer> {
    const type = response.headers.get("content-type");
    expect(response.status).toBe(200);
    const bytes = new Uint8Array(await response.arrayBuffer());
    return type === FRAMES ? readFrames(bytes) : readLines(new TextDecoder().decode(bytes));
  }

  it("gives the states of the float64 reference, window by window, as lines", async () => {
    const response = await post(jsonBody(problem));
    expect(response.headers.get("content-type")).toBe(NDJSON);
    const answer = await answerOf(response);
    expect(faultOf(answer, problem)).toBeNull();
    expect(answer.pieces).toEqual([0, 128, 256, 384, 512, 640, 768]);
    expect(answer.report).toMatchObject({
      steps: 777,
      windows: 7,
      backend: "wasm",
      simd: "plain",
      method: "sequential",
      residual: 0,
    });
    statesOf.set(name, answer.states);
  });

  it("takes and gives binary, in all combinations", async () => {
    const initialState = `?steps=777&initialState=${problem.initialState!.join(",")}`;
    const asLines = await answerOf(await post(binaryBody(problem), binary, initialState));
    expect(faultOf(asLines, problem)).toBeNull();
    const accept = { accept: "application/x-ndjson;q=0.5, application/octet-stream" };
    const response = await post(jsonBody(problem), { ...json, ...accept });
    expect(response.headers.get("content-type")).toBe(FRAMES);
    const asFrames = await answerOf(response);
    expect(faultOf(asFrames, problem)).toBeNull();
    expect(asFrames.states).toEqual(asLines.states.map(Math.fround));
    const both = await answerOf(await post(binaryBody(fromZeros), { ...binary, ...accept }));
    expect(faultOf(both, fromZeros)).toBeNull();
  });

  it("says what it is, what it takes, and that it is well", async () => {
    const response = await fetch(host.origin);
    expect(await response.json()).toMatchObject({
      host: name,
      model: { inputSize, stateSize: hiddenSize },
      accepts: ["application/json", "application/octet-stream"],
      answers: [NDJSON, FRAMES],
      limits: { maxBodyBytes: 200_000, maxSteps: 2000, windowSteps: 128 },
    });
    const health = await fetch(`${host.origin}/health`);
    expect(health.status).toBe(200);
    const { memory, ...state } = await health.json();
    expect(state).toMatchObject({ ok: true, active: 0, failed: 0, abandoned: 0 });
    if (name === "workerd") expect(memory).toBeNull();
    else expect(memory.rss).toBeGreaterThan(2 ** 20);
    const head = await fetch(`${host.origin}/health`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  const rows = (...inputs: unknown[]) => JSON.stringify({ inputs });
  const good = [0, 0, 0];
  it.each<[string, BodyInit, number, Record<string, unknown>, HeadersInit?, string?]>([
    ["no JSON", "{", 400, { code: "bad-json", field: "body" }],
    ["NaN", '{"inputs":[[1,2,NaN]]}', 400, { code: "bad-json" }],
    ["bytes that are no UTF-8", Uint8Array.of(0x22, 0xff, 0x22), 400, { code: "bad-json" }],
    ["nothing", "", 400, { code: "bad-json" }],
    ["an array", "[1]", 422, { field: "body", got: "an array of 1" }],
    ["no inputs", "{}", 422, { field: "inputs", got: "undefined" }],
    ["a misspelt key", '{"input":[]}', 422, { field: "body", got: '"input"' }],
    ["no rows", rows(), 422, { field: "inputs", expected: "at least one row" }],
    ["a flat array", rows(1, 2, 3), 422, { field: "inputs[0]", got: "1" }],
    [
      "rows that differ in width",
      rows(good, [1, 2]),
      422,
      { field: "inputs[1]", expected: "an array of 3 numbers", got: "an array of 2" },
    ],
    ["rows that are too wide", rows([1, 2, 3, 4]), 422, { field: "inputs[0]" }],
    ["null", rows(good, [0, null, 0]), 422, { field: "inputs[1][1]", got: "null" }],
    ["text", rows([0, "1", 0]), 422, { field: "inputs[0][1]", got: '"1"' }],
    ["what overflows", '{"inputs":[[0,1e400,0]]}', 422, { field: "inputs[0][1]", got: "Infinity" }],
    ["what float32 cannot hold", rows([0, 0, 1e39]), 422, { field: "inputs[0][2]", got: "1e+39" }],
    [
      "a short initial state",
      JSON.stringify({ inputs: [good], initialState: [1] }),
      422,
      { field: "initialState", expected: "an array of 32 numbers" },
    ],
    [
      "too many steps",
      rows(...Array(2001).fill(good)),
      413,
      { code: "too-many-steps", field: "inputs", expected: "2000 rows at most", got: "2001" },
    ],
    ["too many bytes", " ".repeat(200_001), 413, { code: "body-too-large", field: "body" }],
    ["text/plain", "x", 415, { field: "Content-Type" }, { "content-type": "text/plain" }],
    [
      "another charset",
      rows(good),
      415,
      { field: "Content-Type" },
      { "content-type": "application/json; charset=utf-16" },
    ],
    [
      "a compressed body",
      rows(good),
      415,
      { field: "Content-Encoding", got: "br" },
      { ...json, "content-encoding": "br" },
    ],
    [
      "an answer in a format that there is not",
      rows(good),
      406,
      { field: "Accept", got: "text/html" },
      { ...json, accept: "text/html" },
    ],
    ["half a row", new Uint8Array(16), 422, { field: "body", got: "16 bytes" }, binary],
    ["no bytes", new Uint8Array(0), 422, { field: "inputs" }, binary],
    ["fewer steps than said", new Uint8Array(12), 422, { field: "body" }, binary, "?steps=2"],
    ["no number of steps", new Uint8Array(12), 422, { field: "steps" }, binary, "?steps=x"],
    ["an unknown parameter", new Uint8Array(12), 400, { field: "query" }, binary, "?step=1"],
    [
      "infinity in binary",
      new Uint8Array([...new Uint8Array(20), 0, 0, 0x80, 0x7f]),
      422,
      { field: "inputs[1][2]", got: "Infinity" },
      binary,
    ],
    [
      "an initial state that is no number",
      new Uint8Array(12),
      422,
      { field: "initialState[0]", got: '"a"' },
      binary,
      `?initialState=a${",0".repeat(31)}`,
    ],
  ])("refuses %s", async (_, body, status, reason, headers = json, query = "") => {
    const response = await post(body, headers, query);
    expect(response.headers.get("content-type")).toContain("application/json");
    const { error } = await response.json();
    expect([response.status, error]).toEqual([status, expect.objectContaining(reason)]);
    expect(error.message).toContain(error.field);
  });

  it("refuses other methods, saying which it has, and other paths", async () => {
    const method = await fetch(`${host.origin}/evaluate`);
    expect([method.status, method.headers.get("allow")]).toEqual([405, "POST"]);
    const put = await fetch(`${host.origin}/`, { method: "PUT", body: "x" });
    expect([put.status, put.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    expect((await put.json()).error).toMatchObject({ field: "method", got: "PUT" });
    const path = await fetch(`${host.origin}/constructor`);
    expect(path.status).toBe(404);
    expect((await path.json()).error).toMatchObject({ field: "path", got: "/constructor" });
  });

  it("ends a stream that takes too long with the reason", async () => {
    const hurried = await startEdge(name, {
      MAX_BODY_BYTES: "4000000",
      MAX_STEPS: "300000",
      TIME_BUDGET_MS: "60",
    });
    try {
      const body = new Uint8Array(12 * 300_000);
      const response = await fetch(`${hurried.origin}/evaluate`, {
        method: "POST",
        headers: binary,
        body,
      });
      const { error, report, pieces } = readLines(await response.text());
      expect(report).toBeNull();
      expect(error).toMatchObject({ code: "out-of-time" });
      expect(pieces.length).toBeGreaterThan(0);
    } finally {
      await hurried.stop();
    }
  });
});

describe("the edge example", () => {
  it("gives the same bits on every host", () => {
    expect(statesOf.size).toBe(3);
    expect(statesOf.get("Deno")).toEqual(statesOf.get("Node"));
    expect(statesOf.get("workerd")).toEqual(statesOf.get("Node"));
  });

  it("runs on Deno as it is, by the README's command", async () => {
    const host = await startDenoFromSource();
    try {
      const problem = await edgeProblem(200, 3);
      const response = await fetch(`${host.origin}/evaluate`, {
        method: "POST",
        headers: json,
        body: jsonBody(problem),
      });
      expect(faultOf(readLines(await response.text()), problem)).toBeNull();
    } finally {
      await host.stop();
    }
  });

  it("ships the model that its script makes", async () => {
    const path = new URL("../../examples/edge/model.json", import.meta.url);
    expect(await readFile(path, "utf8")).toBe(makeModel());
  });

  it.each(["0", "-1", "1.5", "many", "999999999999"])("refuses the setting %s", (value) => {
    expect(() => readSettings({ MAX_STEPS: value })).toThrow(
      `MAX_STEPS: expected an integer from 1 to 16777216, got ${value}`,
    );
  });
});
