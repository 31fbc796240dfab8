/** The edge example under load: no request is lost, every answer is right, memory stays flat. */
import autocannon from "autocannon";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { edgeProblem, faultOf, jsonBody, type Problem, readLines } from "../support/edge-client.ts";
import { type EdgeHost, type EdgeHostName, startEdge } from "../support/edge-hosts.ts";

const REQUESTS = 1000;
const AT_A_TIME = 32;
/** Requests after which memory has settled. */
const SETTLED = 100;
const MEGABYTE = 2 ** 20;

/** Steps of the requests: one window, several, and some that end within one. */
const lengths = [1, 5, 17, 64, 100, 256, 300, 600];

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

describe.each<EdgeHostName>(["Deno", "workerd"])("the edge example under load on %s", (name) => {
  let host: EdgeHost;
  let problems: Problem[];
  beforeAll(async () => {
    host = await startEdge(name);
    problems = await Promise.all(lengths.map((steps, i) => edgeProblem(steps, i, i % 2 === 0)));
  });
  afterAll(() => host?.stop());

  /** Sends requests and looks at every answer. @returns bytes that the server had resident at each. */
  async function load(amount: number): Promise<number[]> {
    const faults: string[] = [];
    const resident: number[] = [];
    let answered = 0;
    const result = await autocannon({
      url: host.origin,
      amount,
      connections: AT_A_TIME,
      // Seconds: a request that waits longer counts as lost.
      timeout: 30,
      requests: problems.map((problem) => ({
        method: "POST",
        path: "/evaluate",
        headers: { "content-type": "application/json" },
        body: jsonBody(problem),
        onResponse(status: number, body: string) {
          answered++;
          const bytes = host.residentBytes();
          if (bytes !== null) resident.push(bytes);
          const fault = status === 200 ? faultOf(readLines(body), problem) : `${status}: ${body}`;
          if (fault) faults.push(`${problem.steps} steps: ${fault}`);
        },
      })),
    });
    expect(faults).toEqual([]);
    expect(answered).toBe(amount);
    const lost = { non2xx: 0, errors: 0, timeouts: 0, mismatches: 0 };
    expect(result).toMatchObject({ "2xx": amount, ...lost });
    return resident;
  }

  it("answers 1,000 requests, 32 at a time, all of them right, in flat memory", async () => {
    await load(SETTLED);
    const liveBefore = await host.liveBytes();
    const resident = await load(REQUESTS - SETTLED);
    const liveAfter = await host.liveBytes();

    const health = await (await fetch(`${host.origin}/health`)).json();
    const nothingElse = { active: 0, refused: 0, failed: 0, abandoned: 0 };
    expect(health).toMatchObject({ ok: true, done: REQUESTS, ...nothingElse });
    const megabytes = (bytes: number) => `${(bytes / MEGABYTE).toFixed(1)} MB`;
    console.log(`${name}: alive ${megabytes(liveBefore)}, at the end ${megabytes(liveAfter)}`);
    expect(liveAfter).toBeLessThanOrEqual(1.15 * liveBefore + MEGABYTE);

    if (process.platform !== "linux") return;
    const quarter = resident.length / 4;
    const before = median(resident.slice(0, quarter));
    const after = median(resident.slice(-quarter));
    console.log(`${name}: resident ${megabytes(before)}, at the end ${megabytes(after)}`);
    // V8 lets garbage lie until its heap has grown to what this much traffic is worth: not a leak.
    expect(after).toBeLessThanOrEqual(1.15 * before + 32 * MEGABYTE);
  });
});
