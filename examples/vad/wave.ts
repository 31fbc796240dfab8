/** A WAV file's bytes to what Silero expects: one channel, 16 kHz, float32. Runs in browsers too. */
import wavefile from "wavefile";
import { reasonOf, UserError } from "./failure.ts";
import { resample } from "./resample.ts";
import { SAMPLE_RATE, WINDOW_SIZE } from "./silero.ts";
import { isWave } from "./wave-header.ts";

const LOWEST_RATE = 8_000;
const HIGHEST_RATE = 192_000;

/** `audioFormat` of a WAV header. */
const FORMAT = { pcm: 1, float: 3, aLaw: 6, muLaw: 7, imaAdpcm: 17, extensible: 0xfffe } as const;

/** The X of RIFX. */
const BIG_ENDIAN_MARK = 0x58;

export interface Recording {
  readonly path: string;
  /** Mono at 16 kHz, nominally in [-1, 1]. */
  readonly samples: Float32Array;
  readonly seconds: number;
  /** What was in the file and what was done to it, in words. */
  readonly description: string;
}

/** How the samples lie in the data chunk. */
interface Encoding {
  channels: number;
  bytesPerSample: number;
  isFloat: boolean;
  littleEndian: boolean;
}

interface WaveFormat {
  audioFormat: number;
  numChannels: number;
  sampleRate: number;
  blockAlign: number;
  bitsPerSample: number;
  subformat: number[];
}

/**
 * Decodes a WAV file of any usual encoding. Channels are averaged and other sample rates converted.
 * @param path the file's name, for messages.
 * @param onResample called before a conversion of the sample rate, which takes a while; nothing is
 *   refused after it.
 * @throws {UserError} in one line, when the file cannot be used.
 */
export function decodeRecording(
  bytes: Uint8Array,
  path: string,
  onResample: () => void = () => {},
): Recording {
  if (!isWave(bytes)) throw new UserError(`${path}: not a WAV file`);
  const wave = new wavefile.WaveFile();
  try {
    wave.fromBuffer(bytes);
  } catch (error) {
    throw new UserError(`${path}: damaged WAV file: ${reasonOf(error)}`);
  }
  const format = wave.fmt as WaveFormat;
  const { numChannels: channels, sampleRate } = format;
  if (channels < 1) throw new UserError(`${path}: damaged WAV file: ${channels} channels`);
  if (sampleRate < LOWEST_RATE || sampleRate > HIGHEST_RATE) {
    throw new UserError(
      `${path}: sample rate: expected ${LOWEST_RATE} to ${HIGHEST_RATE} Hz, got ${sampleRate}`,
    );
  }

  const { name, encoding } = decompress(path, wave, format, bytes[3] !== BIG_ENDIAN_MARK);
  const mono = mixDown((wave.data as { samples: Uint8Array }).samples, encoding);
  if (mono.length === 0) throw new UserError(`${path}: holds no samples`);
  const wrong = mono.findIndex((sample) => !Number.isFinite(sample));
  if (wrong >= 0) throw new UserError(`${path}: sample ${wrong} is ${mono[wrong]}`);
  const shortest = Math.ceil((WINDOW_SIZE * sampleRate) / SAMPLE_RATE);
  if (mono.length < shortest) {
    throw new UserError(
      `${path}: too short: expected at least ${shortest} samples (32 ms), got ${mono.length}`,
    );
  }
  if (sampleRate !== SAMPLE_RATE) onResample();
  const samples = resample(mono, sampleRate, SAMPLE_RATE);

  const mixing = channels === 1 ? "mono" : `${channels} channels mixed down to one`;
  const rate = `${sampleRate.toLocaleString("en")} Hz`;
  const conversion = sampleRate === SAMPLE_RATE ? rate : `${rate} resampled to 16,000 Hz`;
  return {
    path,
    samples,
    seconds: samples.length / SAMPLE_RATE,
    description: `${name}, ${mixing}, ${conversion}`,
  };
}

/** Brings compressed formats to 16-bit PCM, and says how the samples of `wave` lie in memory now. */
function decompress(
  path: string,
  wave: wavefile.WaveFile,
  format: WaveFormat,
  littleEndian: boolean,
): { name: string; encoding: Encoding } {
  const { numChannels: channels, bitsPerSample: bits } = format;
  const code = format.audioFormat;
  const kind = code === FORMAT.extensible ? format.subformat[0] : code;
  const decompressed: Encoding = { channels, bytesPerSample: 2, isFloat: false, littleEndian };
  if (code === FORMAT.aLaw && bits === 8) {
    wave.fromALaw();
    return { name: "A-law", encoding: decompressed };
  }
  if (code === FORMAT.muLaw && bits === 8) {
    wave.fromMuLaw();
    return { name: "µ-law", encoding: decompressed };
  }
  if (code === FORMAT.imaAdpcm && bits === 4 && channels === 1) {
    wave.fromIMAADPCM();
    return { name: "IMA ADPCM", encoding: decompressed };
  }
  // Samples of an odd number of bits are left-justified in whole bytes, so only the bytes matter.
  const bytesPerSample = format.blockAlign / channels;
  const isFloat = kind === FORMAT.float;
  const sizes = isFloat ? [4, 8] : [1, 2, 3, 4];
  if ((kind !== FORMAT.pcm && !isFloat) || !sizes.includes(bytesPerSample)) {
    throw new UserError(
      `${path}: unsupported encoding: format ${kind} with ${bits} bits and ${channels} channels`,
    );
  }
  const name = `${bits}-bit ${isFloat ? "floating point" : "PCM"}`;
  return { name, encoding: { channels, bytesPerSample, isFloat, littleEndian } };
}

/** The mean over the channels of each frame, scaled to [-1, 1]; an incomplete last frame is dropped. */
function mixDown(data: Uint8Array, encoding: Encoding): Float32Array {
  const { channels, bytesPerSample } = encoding;
  const bytesPerFrame = channels * bytesPerSample;
  const read = sampleReader(data, encoding);
  const mono = new Float32Array(Math.floor(data.length / bytesPerFrame));
  for (let frame = 0; frame < mono.length; frame++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++) {
      sum += read(frame * bytesPerFrame + channel * bytesPerSample);
    }
    mono[frame] = sum / channels;
  }
  return mono;
}

/** A function from a byte offset to the sample there. 8-bit WAV is unsigned, everything wider signed. */
function sampleReader(data: Uint8Array, encoding: Encoding): (offset: number) => number {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const { bytesPerSample, isFloat, littleEndian } = encoding;
  if (isFloat) {
    return bytesPerSample === 4
      ? (offset) => view.getFloat32(offset, littleEndian)
      : (offset) => view.getFloat64(offset, littleEndian);
  }
  switch (bytesPerSample) {
    case 1:
      return (offset) => (view.getUint8(offset) - 128) / 128;
    case 2:
      return (offset) => view.getInt16(offset, littleEndian) / 2 ** 15;
    case 3: {
      const highByte = littleEndian ? 2 : 0;
      const lowHalf = littleEndian ? 0 : 1;
      return (offset) =>
        (view.getInt8(offset + highByte) * 2 ** 16 +
          view.getUint16(offset + lowHalf, littleEndian)) /
        2 ** 23;
    }
    default:
      return (offset) => view.getInt32(offset, littleEndian) / 2 ** 31;
  }
}
