/** The peers' bench: that it notices who is wrong, what it calls a loss, and what it draws. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { missingPeer } from "../../bench/harness.ts";
import type { PeersResult } from "../../bench/peers.ts";
import {
  compareHidden,
  contend,
  Disagreement,
  type Hidden,
  type Peer,
  type Score,
} from "../../bench/support/contenders.ts";
import { drawFigures } from "../../bench/support/figures.ts";
import { describeSteps, gridShapes, quickened, Schedule } from "../../bench/support/grid.ts";
import { onnxruntimeWebgpu } from "../../bench/support/onnxruntime.ts";
import { antlerWebgpu } from "../../bench/support/peers/antler.ts";
import { closePeers, openPeers, peerNames } from "../../bench/support/peers/index.ts";
import { plainJavaScript } from "../../bench/support/peers/plain.ts";
import { inDirection, transposed } from "../../bench/support/peers/rows.ts";
import {
  randomTask,
  roundedDown,
  shortened,
  type Task,
  timeMajor,
} from "../../bench/support/tasks.ts";
import { aimsTable, best, isOurs, lossesTable, timesTables } from "../../bench/support/verdicts.ts";
import { dawnGpu } from "../support/dawn.ts";

const task = { ...randomTask("GRU", 2, 2, 3), agreement: 1e-5 };

/** Numbers of the task that say where they stand: sequence, step, unit. */
function hidden(order: "batch" | "time", width: number): Hidden {
  const values = new Float32Array(2 * 3 * width).fill(Number.NaN);
  for (let b = 0; b < 2; b++) {
    for (let t = 0; t < 3; t++) {
      const row = order === "batch" ? b * 3 + t : t * 2 + b;
      for (let i = 0; i < 2; i++) values[row * width + i] = b + t / 10 + i / 100;
    }
  }
  return { values, order, width };
}

describe("compareHidden", () => {
  it("takes rows in either order, and reads only the hidden part of wider ones", () => {
    const names = ["a", "b"] as const;
    expect(compareHidden(task, names, hidden("batch", 2), hidden("time", 2))).toBe(0);
    // The rest of a wider row is NaN here.
    expect(compareHidden(task, names, hidden("time", 5), hidden("batch", 3))).toBe(0);
  });

  it("tells the largest difference, relative to 1 + |value|", () => {
    const other = hidden("batch", 2);
    other.values[2 * 5 + 1] += 4e-6;
    const largest = compareHidden(task, ["a", "b"], other, hidden("time", 2));
    expect(largest).toBeCloseTo(4e-6 / (1 + 1.21), 7);
    expect(largest).toBeGreaterThan(0);
  });

  it.each([
    ["too far apart", 1e-3],
    ["not a number", Number.NaN],
    ["infinite", Number.POSITIVE_INFINITY],
  ])("throws where a value is %s, and says where", (_, error) => {
    const wrong = hidden("time", 2);
    wrong.values[(2 * 2 + 1) * 2 + 1] += error;
    const compare = () => compareHidden(task, ["theirs", "ours"], wrong, hidden("batch", 2));
    expect(compare).toThrow(Disagreement);
    expect(compare).toThrow(/theirs differs from ours .* step 2 of sequence 1, unit 1/);
  });

  it("throws where there are too few numbers", () => {
    const few = { ...hidden("time", 2), values: new Float32Array(11) };
    const compare = () => compareHidden(task, ["theirs", "ours"], few, hidden("batch", 2));
    expect(compare).toThrow("theirs: expected 2 × 3 × 2 numbers, got 11");
  });
});

/** A peer that gives what plain JavaScript gives, but for what `change` does to it. */
function peer(name: string, change: (values: Float32Array) => void, steps?: number): Peer {
  return {
    name,
    library: name,
    threads: 1,
    ...(steps !== undefined && { longest: () => steps }),
    open: async (own) => {
      const plain = await plainJavaScript.open(own);
      return {
        name,
        run: async () => {
          const result = await plain.run();
          change(result.values);
          return result;
        },
      };
    },
  };
}

const effort = { repeats: 2, budget: 1e9 };
const faithful = peer("faithful", () => {});

describe("contend", () => {
  it("times those who agree, also on fewer steps", async () => {
    const slow = peer("slow", () => {}, 2);
    const { scores, largestDifference } = await contend(task, [faithful, slow], effort, shortened);
    expect(largestDifference).toBe(0);
    expect(scores.map(({ steps }) => steps)).toEqual([3, 2]);
    for (const { timing } of scores) expect(timing!.samples).toHaveLength(2);
  });

  it("refuses to time what disagrees", async () => {
    const liar = peer("liar", (values) => {
      values[4] += 1e-3;
    });
    await expect(contend(task, [faithful, liar], effort, shortened)).rejects.toThrow(Disagreement);
    const slowLiar = peer("liar", (values) => values.fill(0), 2);
    const late = contend(task, [faithful, slowLiar], effort, shortened);
    await expect(late).rejects.toThrow(Disagreement);
  });

  it("lets a peer fail alone, but not the first", async () => {
    const broken: Peer = { ...faithful, name: "broken", open: async () => fail() };
    const fail = (): never => {
      throw new Error("out of order");
    };
    const { scores } = await contend(task, [faithful, broken], effort, shortened);
    expect(scores[1]).toMatchObject({ peer: "broken", error: "out of order" });
    expect(scores[1].timing).toBeUndefined();
    await expect(contend(task, [broken, faithful], effort, shortened)).rejects.toThrow(
      "out of order",
    );
  });

  it("releases all that it opened, whatever happens", async () => {
    const released: string[] = [];
    const tracked = (name: string, shift: number): Peer => ({
      ...faithful,
      name,
      open: async (own) => ({
        ...(await peer(name, (values) => values.fill(shift)).open(own)),
        release: () => void released.push(name),
      }),
    });
    const work = contend(task, [tracked("a", 0), tracked("b", 1)], effort, shortened);
    await expect(work).rejects.toThrow(Disagreement);
    expect(released).toEqual(["a", "b"]);
  });
});

/** Of bench/package.json. */
const packagesOf: Readonly<Record<string, readonly string[]>> = {
  "onnxruntime-node": ["onnxruntime-node"],
  tfjs: ["@tensorflow/tfjs-core", "@tensorflow/tfjs-backend-wasm"],
  "jax-js": ["@jax-js/jax"],
};

/** As their scores have it. */
const libraries: Readonly<Record<string, string>> = {
  antler: "antler",
  "onnxruntime-web": "onnxruntime-web",
  "onnxruntime-node": "onnxruntime-node",
  tfjs: "tfjs-backend-wasm",
  "jax-js": "jax-js",
  plain: "plain JavaScript",
};

describe("every peer that is installed", () => {
  const tasks = [
    randomTask("GRU", 6, 2, 30),
    randomTask("LSTM", 6, 2, 30),
    backwards(randomTask("GRU", 6, 2, 30)),
  ];

  // Those on a GPU have a case of their own below.
  const names = peerNames.filter((name) => !name.endsWith("webgpu"));

  for (const name of names) {
    const missing = packagesOf[name]?.find((path) => !existsSync(`bench/node_modules/${path}`));
    const reason = missing === undefined ? "" : ` (skipped: ${missingPeer(missing)})`;
    const title = `${name} agrees on the numbers, and on those of layers that run backwards${reason}`;
    it.skipIf(missing !== undefined)(title, () => agree(name));
  }

  async function agree(name: string): Promise<void> {
    const opened = await openPeers([name]);
    try {
      for (const each of tasks) {
        const { scores } = await contend(each, opened.peers, effort, shortened);
        for (const { peer, error } of scores) expect(error, peer).toBeUndefined();
        expect(scores.some(({ library }) => library === libraries[name])).toBe(true);
      }
    } finally {
      await closePeers(opened);
    }
  }

  it("on WebGPU too, ours and onnxruntime's, on whatever adapter there is", async () => {
    const gpu = await dawnGpu();
    const peers = [
      plainJavaScript,
      await onnxruntimeWebgpu(gpu),
      await antlerWebgpu("antler, WebGPU", gpu),
    ];
    for (const each of tasks.slice(0, 2)) {
      const { scores } = await contend(each, peers, effort, shortened);
      for (const { peer, error } of scores) expect(error, peer).toBeUndefined();
    }
    await closePeers({ peers, missing: [] });
  });
});

/** Two layers, the second of which runs backwards and has its reset gate before the product. */
function backwards(own: Task): Task {
  const [first] = own.layers;
  const weights = { ...randomTask("GRU", 6, 1, 1).layers[0].weights };
  weights.weight_ih = weights.weight_hh;
  const second = {
    ...first,
    inputSize: 6,
    weights,
    variant: "reset-before",
    reverse: true,
  } as const;
  return { ...own, name: "two layers", layers: [first, second] };
}

describe("tasks", () => {
  it("are shortened sequence by sequence", () => {
    const { inputs, steps } = shortened(task, 2);
    expect(steps).toBe(2);
    expect(Array.from(inputs)).toEqual([
      ...task.inputs.subarray(0, 6),
      ...task.inputs.subarray(9, 15),
    ]);
    expect(shortened(task, 3)).toBe(task);
  });

  it("turn to time-major and back to front", () => {
    const rows = Float32Array.of(0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121);
    const turned = timeMajor(rows, 2, 3);
    expect(Array.from(turned)).toEqual([0, 1, 100, 101, 10, 11, 110, 111, 20, 21, 120, 121]);
    expect(Array.from(transposed(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3))).toEqual([
      1, 4, 2, 5, 3, 6,
    ]);
    const seen: number[] = [];
    const layer = { ...task.layers[0], reverse: true };
    const back = inDirection(layer, Float32Array.of(1, 2, 3), 3, (values) => {
      seen.push(...values);
      return values.map((value) => value * 10);
    });
    expect(seen).toEqual([3, 2, 1]);
    expect(Array.from(back)).toEqual([10, 20, 30]);
  });

  it("begin alike, whatever their length and number", () => {
    const [short, long] = [randomTask("GRU", 4, 1, 10), randomTask("GRU", 4, 3, 50)];
    expect(Array.from(long.inputs.subarray(0, 30))).toEqual(Array.from(short.inputs));
    expect(long.layers).toEqual(short.layers);
  });
});

describe("the grid", () => {
  const whole = {
    layers: ["GRU", "LSTM"],
    sizes: [8, 256],
    steps: [1_000, 100_000],
    batches: [1, 16],
    seconds: 1,
    gigabytes: 0.1,
  };

  it("covers every shape, large ones at fewer steps", () => {
    const shapes = gridShapes(whole);
    expect(shapes).toHaveLength(2 * 2 * 2 * 2);
    for (const { hiddenSize, batch, layer, measured, steps } of shapes) {
      expect(measured).toBeLessThanOrEqual(steps);
      const bytes = 4 * batch * hiddenSize * measured * (layer === "LSTM" ? 2 : 1);
      expect(bytes).toBeLessThanOrEqual(1e8);
    }
    const small = shapes.find(({ steps, batch, hiddenSize }) => steps * batch * hiddenSize === 8e5);
    expect(small!.measured).toBe(100_000);
    const large = shapes.filter(({ measured, steps }) => measured < steps);
    expect(large.map(({ hiddenSize }) => hiddenSize)).toContain(256);
  });

  it("is whole where time and memory allow", () => {
    const shapes = gridShapes({ ...whole, seconds: Infinity, gigabytes: Infinity });
    expect(shapes.every(({ measured, steps }) => measured === steps)).toBe(true);
  });

  it("names what is wrong", () => {
    expect(() => gridShapes({ ...whole, layers: ["RNN"] })).toThrow(/^layers: .*got RNN$/);
    expect(() => gridShapes({ ...whole, sizes: [8, 0] })).toThrow(/^sizes: .*got 0$/);
  });

  it("says at how many steps it was measured", () => {
    expect(describeSteps(100_000, 100_000)).toBe("100,000");
    expect(describeSteps(100_000, 4_000)).toBe("100,000 (at 4,000)");
    expect([99, 101, 4_567, 60_000].map(roundedDown)).toEqual([100, 100, 4_000, 60_000]);
  });

  it("is small when it is quick, but for what was asked for", () => {
    const specs = { sizes: { default: [8, 256] }, steps: { default: [1_000] } };
    const given = { sizes: specs.sizes.default, steps: [77], rest: 1 };
    const quick = quickened(given, specs, { sizes: [2], steps: [3] });
    expect(quick).toEqual({ sizes: [2], steps: [77], rest: 1 });
  });

  it("shares the time that is left", () => {
    const schedule = new Schedule(1, 4);
    expect(schedule.budget(1)! / 60e3).toBeCloseTo(1 / 4, 2);
    // What was not used is the others'.
    expect(schedule.budget(2)! / 60e3).toBeCloseTo(2 / 3, 2);
    expect(new Schedule(0, 1).budget(1)).toBeNull();
  });
});

/** A score of so many nanoseconds a step. */
function score(name: string, threads: number, nanoseconds: number, steps: number): Score {
  const [library] = name.split(",");
  const median = (nanoseconds * steps) / 1e6;
  const timing = { median, min: median, max: median, samples: [median] };
  return { peer: name, library, threads, steps, timing };
}

function result(
  ours: number,
  theirs: number,
  { steps = 100_000, hiddenSize = 8, batch = 1 } = {},
): PeersResult {
  return {
    task: `GRU, D = ${hiddenSize}, T = ${steps.toLocaleString("en-US")}, B = ${batch}`,
    layer: "GRU",
    hiddenSize,
    batch,
    steps,
    measured: steps,
    largestDifference: 1e-7,
    scores: [
      score("antler, 1 thread", 1, ours * batch, steps),
      score("antler, 2 threads", 2, (ours / 2) * batch, steps),
      score("onnxruntime-web, 1 thread", 1, theirs * batch, steps),
      { peer: "jax-js", library: "jax-js", threads: 1, steps, error: "out of order" },
    ],
  };
}

describe("verdicts", () => {
  it("find the best, and the least of the ratios for an aim", () => {
    const results = [result(100, 250), result(100, 210)];
    expect(best(results[0], isOurs)).toEqual({ peer: "antler, 2 threads", nanoseconds: 50 });
    const { rows } = aimsTable(results);
    const first = rows.find(([work]) => String(work).includes("D = 8, B = 1"))!;
    expect(first[3]).toBeCloseTo(2.1, 6);
    expect(first[5]).toBe("yes");
    const missed = aimsTable([...results, result(100, 190)]).rows[0];
    expect(missed[3]).toBeCloseTo(1.9, 6);
    expect(missed[5]).toBe("no");
  });

  it("have no aim for what was not measured", () => {
    expect(aimsTable([result(100, 250, { steps: 1_000 })]).rows).toEqual([]);
  });

  it("tell plainly where a rival is faster on as many threads", () => {
    expect(lossesTable([result(100, 101)]).rows).toEqual([]);
    const { rows } = lossesTable([result(100, 80), result(100, 20)]);
    expect(rows.map((row) => Number(row[5]).toFixed(2))).toEqual(["5.00", "2.50", "1.25"]);
    expect(rows[0][1]).toBe("antler 1t");
  });

  it("put every result into a table, failures too", () => {
    const tables = timesTables([result(100, 250), result(100, 250, { batch: 16 })]);
    expect(tables.map(({ rows }) => rows.length)).toEqual([1, 1]);
    const [row] = tables[1].rows;
    expect(row.slice(0, 3)).toEqual(["GRU", "8", "100,000"]);
    expect(row[3]).toBeCloseTo(100, 6);
    expect(row[6]).toBe("failed");
    expect(row.at(-1)).toBeCloseTo(5, 6);
  });
});

describe("charts", () => {
  const data = {
    results: [result(100, 250), result(100, 250, { steps: 1_000 })],
    sweeps: [1, 16].map((chunk) => ({
      problem: "GRU < D & 32",
      steps: 512,
      method: "jacobi",
      chunk,
      sweeps: 20 / chunk,
    })),
  };

  it("are drawn for what there is, with a title and colours for dark pages", () => {
    const figures = drawFigures(data);
    expect(figures.map(({ name }) => name)).toEqual(["time-over-steps-gru", "speed-up", "sweeps"]);
    for (const { svg, title } of figures) {
      expect(svg).toMatch(/^<svg role="img" /);
      expect(svg).toContain(`<title>${title}</title>`);
      expect(svg).toContain("prefers-color-scheme: dark");
      // Every colour that is overruled on dark pages is one that is drawn with.
      for (const [, attribute] of svg.matchAll(/(\[(?:fill|stroke)="#24292f"\])\{/g)) {
        expect(svg.split(attribute.slice(1, -1)).length).toBeGreaterThan(2);
      }
    }
    expect(figures[2].svg).toContain("GRU &lt; D &amp; 32");
    expect(drawFigures({ results: [], sweeps: [] })).toEqual([]);
  });

  it("are the same in every process", () => {
    expect(drawFigures(data)).toEqual(drawFigures(data));
  });
});
