/** The playground's Solve tab in Chromium with a software GPU, against solves in this process. */
import { createRuntime, type IterationProgress, type Runtime } from "antler";
import type { Browser, Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HEAT_MAP_MARGINS } from "../../examples/web/src/charts/solve.ts";
import { scientific, whole } from "../../examples/web/src/format.ts";
import { makeProblem } from "../../examples/web/src/solve/problem.ts";
import {
  DEFAULT_TEXTS,
  evaluateOptions,
  parseSettings,
} from "../../examples/web/src/solve/settings.ts";
import { binCount, errorProfile, traceSolve } from "../../examples/web/src/solve/trace.ts";
import { launchGpuBrowser } from "../support/chromium-gpu.ts";
import {
  endOf,
  keepPicture,
  openPlayground,
  type Playground,
  panelOf,
  progressOf,
  readFact,
  readTable,
  runTask,
  servePlayground,
  textOf,
  type WatchedPage,
} from "../support/playground.ts";

let playground: Playground;
let browser: Browser;
let runtime: Runtime;
beforeAll(async () => {
  [playground, browser, runtime] = await Promise.all([
    servePlayground(),
    launchGpuBrowser(),
    createRuntime({ backend: "wasm", reproducible: true }),
  ]);
});
afterAll(async () => {
  runtime?.dispose();
  await browser?.close();
  await playground?.close();
});

/** Opens a page, does something in it, and expects that nothing went wrong. */
async function inPage(hash: string, work: (page: Page) => Promise<void>): Promise<void> {
  const watched: WatchedPage = await openPlayground(browser, playground, hash);
  try {
    await work(watched.page);
    expect(watched.complaints).toEqual([]);
  } finally {
    await watched.close();
  }
}

const SMALL = { hiddenSize: "4", steps: "96", gain: "2", chunk: "8" };
const hashOf = (settings: Readonly<Record<string, string>>) =>
  new URLSearchParams(settings).toString();

/** The solve of these settings, here. */
async function traceHere(changes: Readonly<Record<string, string>>) {
  const { settings } = parseSettings({ ...DEFAULT_TEXTS, ...changes });
  const problem = makeProblem(settings!);
  const { cell, inputs, initialState, steps } = problem;
  const options = { ...evaluateOptions(settings!), backend: "wasm" as const };
  const exact = await runtime.evaluate(cell, inputs, { method: "sequential", initialState });
  const told: IterationProgress[] = [];
  const { report } = await runtime.evaluate(cell, inputs, {
    ...{ ...options, initialState },
    onIteration: (progress) => told.push(progress),
  });
  const iterates = [];
  for await (const { sweep, residual, told: progress, states } of traceSolve(
    runtime,
    problem,
    options,
    told,
  )) {
    const profile = errorProfile(states, exact.states, cell.stateSize, binCount(steps));
    const { exactChunks, chunks } = progress;
    iterates.push({ sweep, residual, exactChunks, chunks, ...profile });
  }
  return { report, iterates, steps };
}

describe("a solve", () => {
  it("shows the residuals and errors of the solver's own trace", async () => {
    const { report, iterates } = await traceHere({});
    expect(report.converged).toBe(true);
    expect(iterates.length).toBeGreaterThan(10);
    await inPage("", async (page) => {
      await expect.poll(() => textOf(panelOf(page))).toContain("Nothing has run yet");
      expect(await runTask(page, "Run")).toBe(`Converged after ${report.iterations} sweeps.`);
      expect(await readFact(page, "Residual")).toBe(scientific(report.residual));
      expect(await readFact(page, "Error estimate")).toBe(scientific(report.errorEstimate));
      const rows = await readTable(page, "Residual and largest error");
      const expected = iterates.map(({ sweep, residual, largest, step, exactChunks, chunks }) => [
        String(sweep),
        scientific(residual, 3),
        scientific(largest, 3),
        whole(step),
        `${whole(exactChunks)} of ${whole(chunks)}`,
      ]);
      expect(rows).toEqual(expected);
      await keepPicture(page, "solve-light");
    });
  });

  it("draws the errors: the larger, the darker", async () => {
    const { iterates, steps } = await traceHere({});
    const bins = binCount(steps);
    await inPage("", async (page) => {
      await runTask(page, "Run");
      const chart = panelOf(page).getByRole("img", { name: /^Error over time step and sweep/ });
      await chart.locator("canvas").first().waitFor();
      const points = iterates.flatMap(({ sweep, bins: errors }) =>
        [0.1, 0.3, 0.5, 0.7, 0.9].map((share) => {
          const bin = Math.floor(share * bins);
          return { sweep, bin, power: Math.max(-8, Math.min(0, Math.log10(errors[bin]!))) };
        }),
      );
      const luminances = () =>
        chart.evaluate(
          (element, { points, bins, sweeps, margins }) => {
            const { width, height } = element.getBoundingClientRect();
            const layers = [...element.querySelectorAll("canvas")];
            const whole = document.createElement("canvas");
            Object.assign(whole, { width, height });
            const context = whole.getContext("2d", { willReadFrequently: true })!;
            for (const layer of layers) context.drawImage(layer, 0, 0, width, height);
            const across = width - margins.left - margins.right;
            const down = height - margins.top - margins.bottom;
            return points.map(({ sweep, bin }) => {
              const x = margins.left + ((bin + 0.5) / bins) * across;
              const y = margins.top + ((sweep + 0.5) / sweeps) * down;
              const [r, g, b] = context.getImageData(x, y, 1, 1).data;
              return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
            });
          },
          { points, bins, sweeps: iterates.length, margins: HEAT_MAP_MARGINS },
        );
      // The last sweeps may be drawn a little after the task has ended.
      await expect
        .poll(async () =>
          correlation(
            points.map(({ power }) => power),
            await luminances(),
          ),
        )
        .toBeLessThan(-0.97);
    });
  });

  it("says in words that it was repaired, and from where", async () => {
    const { report } = await traceHere({ ...SMALL, maxIterations: "2" });
    expect(report.fallback?.to).toBe("sequential");
    await inPage(hashOf({ ...SMALL, maxIterations: "2" }), async (page) => {
      expect(await runTask(page, "Run")).toContain("was finished sequentially");
      await panelOf(page).getByText("The report in words").click();
      const words = await textOf(panelOf(page).getByRole("region", { name: "Report" }));
      expect(words).toContain(report.fallback!.reason);
      expect(words).toContain(`The first ${report.fallback!.fromStep} steps were exact already`);
    });
  });

  it("shows the states of the unit and the sweep that are asked for", async () => {
    await inPage(hashOf(SMALL), async (page) => {
      await runTask(page, "Run");
      const panel = panelOf(page);
      await panel.getByRole("combobox", { name: "Unit" }).selectOption("3");
      await panel.getByRole("slider", { name: "After sweep" }).fill("0");
      await panel.getByText("States as a table").click();
      const first = await readTable(page, "Unit 3: sequential, and after sweep 0");
      expect(first.some(([, exact, iterate]) => exact !== iterate)).toBe(true);
      await panel.getByRole("button", { name: "Play" }).click();
      await panel.getByRole("button", { name: "Stop" }).waitFor();
      await panel.getByRole("button", { name: "Play" }).waitFor();
      const last = await readTable(page, /^Unit 3: sequential, and after sweep [1-9]/);
      for (const [, exact, iterate] of last) {
        expect(Math.abs(Number(exact) - Number(iterate))).toBeLessThan(2e-5);
      }
    });
  });

  it("runs on each backend that is chosen, to the same states", async () => {
    await inPage(hashOf(SMALL), async (page) => {
      const sweeps: number[] = [];
      for (const backend of ["wasm", "webgpu", "reference"]) {
        await panelOf(page).getByLabel("Runs on").selectOption(backend);
        expect(await runTask(page, "Run")).toMatch(/^Converged after/);
        expect(await readFact(page, "Backend")).toBe(backend);
        expect(Number(await readFact(page, "Measured error"))).toBeLessThan(1e-4);
        sweeps.push(Number(await readFact(page, "Sweeps")));
        const rows = await readTable(page, "Residual and largest error");
        expect(rows).toHaveLength(sweeps.at(-1)! + 1);
      }
      expect(Math.max(...sweeps) - Math.min(...sweeps)).toBeLessThanOrEqual(1);
    });
  });

  it("follows what auto chooses, and says so where there are no sweeps", async () => {
    await inPage(hashOf({ ...SMALL, method: "auto", backend: "wasm" }), async (page) => {
      expect(await runTask(page, "Run")).toBe("Evaluated step after step.");
      expect(await textOf(panelOf(page))).toContain("has no sweeps to watch");
    });
    await inPage(hashOf({ ...SMALL, method: "auto", backend: "webgpu" }), async (page) => {
      expect(await runTask(page, "Run")).toMatch(/^Converged after/);
      expect(await readFact(page, "Method")).toBe("quasi-deer");
      expect((await readTable(page, "Residual and largest error")).length).toBeGreaterThan(1);
    });
  });

  it("runs on as many threads as are asked for, exactly if that is asked for", async () => {
    const settings = { ...SMALL, steps: "4000", method: "threads", threads: "2", gain: "1" };
    await inPage(hashOf(settings), async (page) => {
      const panel = panelOf(page);
      expect(await runTask(page, "Run")).toBe("Evaluated on 2 threads.");
      expect(await readFact(page, "Threads")).toBe("2");
      const again = Number(await readFact(page, "Steps run again"));
      expect(again).toBeGreaterThan(0);
      expect(again).toBeLessThan(1000);
      expect(Number(await readFact(page, "Measured error"))).toBeLessThan(1e-6);
      expect(await textOf(panel)).toContain("Threads have no sweeps to watch");
      await panel.getByLabel("Exact").check();
      await panel.getByLabel("Threads", { exact: true }).fill("3");
      expect(await runTask(page, "Run")).toBe("Evaluated on 3 threads.");
      expect(await readFact(page, "Measured error")).toBe("0");
      await keepPicture(page, "threads-light");
      await panel.getByLabel("Runs on").selectOption("webgpu");
      expect(await textOf(panel)).toContain("expected WebAssembly for threads, got WebGPU");
      await panel.getByLabel("Runs on").selectOption("auto");
      expect(await runTask(page, "Compare backends")).toBe("All backends have been timed.");
      const rows = await readTable(page, "Milliseconds, the median");
      const runs = rows.map(([backend, run]) => `${backend}, ${run}`);
      const alone = ["WebGPU, sequential", "reference (float64), sequential"];
      expect(runs.sort()).toEqual(
        ["WebAssembly, threads", "WebAssembly, sequential", ...alone].sort(),
      );
    });
  });

  it("times every backend beside sequential evaluation", async () => {
    await inPage(hashOf(SMALL), async (page) => {
      expect(await runTask(page, "Compare backends")).toBe("All backends have been timed.");
      const rows = await readTable(page, "Milliseconds, the median");
      const runs = rows.map(([backend, run]) => `${backend}, ${run}`);
      const names = ["WebAssembly", "WebGPU", "reference (float64)"];
      const expected = names.flatMap((name) => [`${name}, quasi-deer`, `${name}, sequential`]);
      expect(runs.sort()).toEqual(expected.sort());
      for (const [, , median] of rows) expect(median).toMatch(/^[\d.]+ m?s$/);
      await panelOf(page)
        .getByRole("img", { name: /^Milliseconds on each backend/ })
        .waitFor();
      await keepPicture(page, "compare-light");
    });
  });
});

describe("a long run", () => {
  const LONG = { cell: "lstm-plain", hiddenSize: "96", steps: "20000", method: "deer" };

  it("leaves the page responsive, is cancelled at once, and another one can follow", async () => {
    await inPage(hashOf({ ...LONG, backend: "reference" }), async (page) => {
      const panel = panelOf(page);
      await panel.getByRole("button", { name: "Run", exact: true }).click();
      await expect.poll(() => textOf(progressOf(page, "Run"))).toContain("Sequential result");
      await page.getByLabel("Theme").selectOption("dark");
      expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe("dark");
      const frames = await page.evaluate(
        () =>
          new Promise<number>((resolve) => {
            let count = 0;
            const next = () => (++count === 10 ? resolve(count) : requestAnimationFrame(next));
            requestAnimationFrame(next);
          }),
      );
      expect(frames).toBe(10);
      expect(await progressOf(page, "Run").getAttribute("class")).toContain("running");
      await panel.getByRole("button", { name: "Cancel" }).first().click();
      expect(await endOf(page, "Run")).toBe("Cancelled.");
      for (const [label, value] of [
        ["Size", "4"],
        ["Time steps", "50"],
      ] as const) {
        await panel.getByLabel(label, { exact: true }).fill(value);
      }
      expect(await runTask(page, "Run")).toMatch(/^(Converged|Did not)/);
    });
  });

  it("that never looks up is stopped by force, which is told", async () => {
    await inPage(hashOf({ ...SMALL, cell: "own", code: encoded("for (;;) {}") }), async (page) => {
      const panel = panelOf(page);
      await panel.getByRole("button", { name: "Run", exact: true }).click();
      await panel.getByRole("button", { name: "Cancel" }).first().click();
      expect(await endOf(page, "Run")).toMatch(/^Cancelled\. The worker did not answer/);
      await panel.getByLabel("Cell", { exact: true }).selectOption("gru-reset-after");
      expect(await runTask(page, "Run")).toMatch(/^Converged/);
    });
  });
});

describe("a cell of one's own", () => {
  const write = async (page: Page, code: string) => {
    await panelOf(page).getByLabel("Code of the cell").click();
    await page.keyboard.press("Control+A");
    await page.keyboard.insertText(code);
  };
  const failure = (page: Page) => panelOf(page).locator(".code .failure");

  it("runs as it is prefilled; an error is shown at its line, and gone when mended", async () => {
    await inPage(hashOf({ ...SMALL, cell: "own" }), async (page) => {
      const editor = panelOf(page).getByLabel("Code of the cell");
      await expect.poll(() => textOf(editor)).toContain("defineCell");
      expect(await runTask(page, "Run")).toMatch(/^Converged/);
      await keepPicture(page, "own-cell-light");

      await write(page, "const size = 3;\nreturn defineCell({ size });\n");
      expect(await runTask(page, "Run")).toContain("The cell’s code has an error");
      expect(await textOf(failure(page))).toBe(
        'Line 2: TypeError: defineCell: expected only name, inputSize, state, weights, step, probes, got "size"',
      );
      await expect
        .poll(() => panelOf(page).locator(".cm-lintRange-error").count())
        .toBeGreaterThan(0);
      await keepPicture(page, "own-cell-error-light");

      await write(page, "return (");
      await runTask(page, "Run");
      expect(await textOf(failure(page))).toContain("SyntaxError");

      await write(page, "return 3;");
      await runTask(page, "Run");
      expect(await textOf(failure(page))).toContain("to return defineCell");

      await write(
        page,
        `return defineCell({ name: "mine", inputSize: 1, state: { h: 2 },
           step: ({ h }, x) => ({ h: tanh(add(multiply(0.5, h), concat(x, x))) }) });`,
      );
      expect(await runTask(page, "Run")).toMatch(/^Converged/);
      expect(await failure(page).count()).toBe(0);
    });
  });

  it("that comes with a link is shown, not run", async () => {
    const code = encoded('throw new Error("ran");');
    await inPage(hashOf({ ...SMALL, cell: "own", code }), async (page) => {
      const panel = panelOf(page);
      await expect.poll(() => textOf(panel)).toContain("This code came with the link");
      await expect.poll(() => textOf(panel.getByLabel("Code of the cell"))).toContain("ran");
      expect(await textOf(panel)).toContain("Nothing has run yet");
      expect(await failure(page).count()).toBe(0);
      await runTask(page, "Run");
      expect(await textOf(failure(page))).toBe("Line 1: ran");
    });
  });
});

describe("a host that forbids evaluation in workers", () => {
  it("gets a cell's own code refused in words, and all else done", async () => {
    const watched = await openPlayground(browser, playground);
    const { page } = watched;
    await page.context().route("**/solve.worker-*.js", async (route) => {
      const response = await route.fetch();
      const policy = "script-src 'self' 'wasm-unsafe-eval'";
      const headers = { ...response.headers(), "content-security-policy": policy };
      await route.fulfill({ response, headers });
    });
    await page.goto(`${playground.address}?again#${hashOf({ ...SMALL, cell: "own" })}`);
    await runTask(page, "Run");
    const said = await textOf(panelOf(page).locator(".code .failure"));
    expect(said).toContain("this site's Content-Security-Policy forbids code from text");
    await panelOf(page).getByLabel("Cell", { exact: true }).selectOption("lstm-plain");
    expect(await runTask(page, "Run")).toMatch(/^(Converged|Did not converge)/);
    expect(await readFact(page, "Backend")).toBe("wasm");
    await watched.close();
  });
});

describe("a host that forbids workers of workers", () => {
  it.each([
    ["from blobs", "worker-src 'self'", "2"],
    ["of any kind", "worker-src 'none'", "1"],
  ])("%s gets its threads from a file, or one thread", async (_, policy, threads) => {
    const watched = await openPlayground(browser, playground);
    const { page } = watched;
    await page.context().route("**/solve.worker-*.js", async (route) => {
      const response = await route.fetch();
      const headers = { ...response.headers(), "content-security-policy": policy };
      await route.fulfill({ response, headers });
    });
    const settings = { ...SMALL, method: "threads", threads: "2" };
    await page.goto(`${playground.address}?again#${hashOf(settings)}`);
    expect(await runTask(page, "Run")).toMatch(/^Evaluated on \d threads?\.$/);
    await panelOf(page).getByText("The report in words").click();
    const words = await textOf(panelOf(page).getByRole("region", { name: "Report" }));
    expect(await readFact(page, "Threads"), words).toBe(threads);
    if (threads === "1") expect(words).toMatch(/only one thread: .*worker-src/);
    await watched.close();
  });
});

describe("the form", () => {
  it("names what is wrong with a field, at the field", async () => {
    await inPage("", async (page) => {
      const steps = panelOf(page).getByLabel("Time steps");
      await steps.fill("1e9");
      const wrong = 'expected a whole number from 1 to 100,000, got "1e9"';
      expect(await textOf(panelOf(page))).toContain(wrong);
      await panelOf(page).getByRole("button", { name: "Run", exact: true }).click();
      expect(await steps.evaluate((element) => element === document.activeElement)).toBe(true);
      expect(await textOf(panelOf(page))).toContain("Nothing has run yet");
    });
  });

  it("shows what Antler itself refuses", async () => {
    await inPage(hashOf({ ...SMALL, cell: "rnn-relu", gain: "60" }), async (page) => {
      expect(await runTask(page, "Run")).toContain("the state is not finite from step");
    });
  });

  it("keeps its settings in the address, from which they come back", async () => {
    await inPage("", async (page) => {
      await panelOf(page).getByLabel("Seed").fill("7");
      await panelOf(page).getByLabel("Cell", { exact: true }).selectOption("lstm-plain");
      expect(new URL(page.url()).hash).toBe("#seed=7&cell=lstm-plain");
      await page.reload();
      expect(await panelOf(page).getByLabel("Seed").inputValue()).toBe("7");
      expect(await panelOf(page).getByLabel("Cell", { exact: true }).inputValue()).toBe(
        "lstm-plain",
      );
    });
  });
});

/** As the page puts code into its address. */
function encoded(code: string): string {
  return Buffer.from(code).toString("base64url");
}

/** Pearson's. */
function correlation(a: readonly number[], b: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
  const [ma, mb] = [mean(a), mean(b)];
  const product = mean(a.map((value, i) => (value - ma) * (b[i]! - mb)));
  const deviation = (values: readonly number[], m: number) =>
    Math.sqrt(mean(values.map((value) => (value - m) ** 2)));
  return product / (deviation(a, ma) * deviation(b, mb));
}
