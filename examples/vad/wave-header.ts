/** Whether these are the first bytes of a WAV file. */
export function isWave(bytes: Uint8Array): boolean {
  const text = String.fromCharCode(...bytes.subarray(0, 12));
  return ["RIFF", "RIFX", "RF64"].includes(text.slice(0, 4)) && text.slice(8) === "WAVE";
}
