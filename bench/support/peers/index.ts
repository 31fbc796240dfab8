/** All peers by the names that a command line has for them. */
import type { Peers } from "../contenders.ts";
import {
  onnxruntimeNodePeers,
  onnxruntimeWebgpuPeers,
  onnxruntimeWebPeers,
} from "../onnxruntime.ts";
import { antlerPeers, antlerWebgpuPeers } from "./antler.ts";
import { jaxPeers } from "./jax.ts";
import { plainJavaScript } from "./plain.ts";
import { tfjsPeers } from "./tfjs.ts";

const openers: Readonly<Record<string, () => Promise<Peers>>> = {
  antler: antlerPeers,
  "antler-webgpu": antlerWebgpuPeers,
  "onnxruntime-web": onnxruntimeWebPeers,
  "onnxruntime-webgpu": onnxruntimeWebgpuPeers,
  "onnxruntime-node": onnxruntimeNodePeers,
  tfjs: tfjsPeers,
  "jax-js": jaxPeers,
  plain: async () => ({ peers: [plainJavaScript], missing: [] }),
};

export const peerNames: readonly string[] = Object.keys(openers);

/**
 * Opens the peers of these names, ours first whether it is named or not: the others' numbers are
 * compared with ours.
 *
 * @throws RangeError for a name that is none of `peerNames`.
 */
export async function openPeers(names: readonly string[]): Promise<Peers> {
  const unknown = names.find((name) => !peerNames.includes(name));
  if (unknown !== undefined) {
    throw new RangeError(`peers: expected some of ${peerNames.join(", ")}, got ${unknown}`);
  }
  const opened: Peers[] = [];
  for (const name of peerNames) {
    if (name === "antler" || names.includes(name)) opened.push(await openers[name]());
  }
  return {
    peers: opened.flatMap(({ peers }) => peers),
    missing: opened.flatMap(({ missing }) => missing),
  };
}

export async function closePeers({ peers }: Peers): Promise<void> {
  for (const peer of peers) await peer.close?.();
}
