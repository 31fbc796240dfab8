/** ONNX Runtime in a process of its own: onnxruntime-web/wasm, or another of its packages. */
import { bytes, finish, numbers, problem, stage } from "./clock.mjs";

const { inputSize, hiddenSize, steps } = problem;
const [, , , , name] = process.argv;
const model = bytes("model.onnx");
const inputs = numbers("inputs");

const ort = await stage("import", async () => {
  const module = await import(name);
  return module.InferenceSession ? module : module.default;
});
if (name.startsWith("onnxruntime-web")) ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
const session = await stage("create", () =>
  ort.InferenceSession.create(model, { intraOpNumThreads: 1 }),
);
const evaluate = () =>
  session.run(
    {
      X: new ort.Tensor("float32", inputs, [steps, 1, inputSize]),
      initial_h: new ort.Tensor("float32", new Float32Array(hiddenSize), [1, 1, hiddenSize]),
    },
    ["Y"],
  );
const { Y } = await stage("first evaluation", evaluate);
await stage("second evaluation", evaluate);
finish(Y.data.subarray((steps - 1) * hiddenSize));
