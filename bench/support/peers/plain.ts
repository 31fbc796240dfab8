/** Loops over Float32Arrays, as one writes them without a library. */
import type { Contender, Peer } from "../contenders.ts";
import type { Layer } from "../layers.ts";
import { plainGru, plainGruResetBefore, plainLstm } from "../plain-javascript.ts";
import { roundedDown, type Task, workOf } from "../tasks.ts";
import { inDirection } from "./rows.ts";

const NAME = "plain JavaScript";
/** Multiply–adds that may be waited for; it does about one in a nanosecond and a half. */
const PATIENCE = 5e7;

export const plainJavaScript: Peer = {
  name: NAME,
  library: NAME,
  threads: 1,
  longest: (task) => roundedDown(PATIENCE / workOf(task) / task.batch),
  open: (task) => Promise.resolve(open(task)),
};

function open(task: Task): Contender {
  const { layers, batch, steps } = task;
  const width = layers[layers.length - 1].hiddenSize;
  return {
    name: NAME,
    run: () => {
      const values = new Float32Array(batch * steps * width);
      for (let b = 0; b < batch; b++) {
        const size = steps * layers[0].inputSize;
        let rows = task.inputs.subarray(b * size, (b + 1) * size);
        for (const layer of layers) {
          const { weights, inputSize, hiddenSize } = layer;
          const run = (ordered: Float32Array) =>
            functionOf(layer)(weights, ordered, inputSize, hiddenSize);
          rows = inDirection(layer, rows, steps, run);
        }
        values.set(rows, b * steps * width);
      }
      return { values, order: "batch", width };
    },
  };
}

function functionOf({ operator, variant }: Layer) {
  if (operator === "LSTM") return plainLstm;
  return variant === "reset-after" ? plainGru : plainGruResetBefore;
}
