/**
 * Reads the names of a WebAssembly binary's imports and exports.
 *
 * Not `WebAssembly.Module.imports`: the relaxed kernel has to be checked on engines that cannot
 * compile it. Format: WebAssembly core specification 2.0, section 5.5 (binary format of modules).
 */

const IMPORT_SECTION = 2;
const EXPORT_SECTION = 7;
const HEADER_BYTES = 8;

/**
 * @param {Uint8Array} bytes a binary module
 * @returns {{ imports: string[], exports: string[] }} imports as "module.name"
 * @throws Error where the header or a section is malformed
 */
export function describeWasm(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_BYTES || view.getUint32(0) !== 0x0061736d) {
    throw new Error("not a WebAssembly binary");
  }
  const reader = { bytes, offset: HEADER_BYTES };
  const found = { imports: [], exports: [] };
  while (reader.offset < bytes.length) {
    const id = bytes[reader.offset++];
    const size = unsigned(reader);
    const end = reader.offset + size;
    if (end > bytes.length) throw new Error(`section ${id} ends beyond the file`);
    if (id === IMPORT_SECTION) found.imports = importNames(reader, end);
    if (id === EXPORT_SECTION) found.exports = exportNames(reader);
    reader.offset = end;
  }
  return found;
}

/** The first import is enough to refuse a module, and what follows its name varies by kind. */
function importNames(reader, end) {
  const count = unsigned(reader);
  if (count === 0 || reader.offset >= end) return [];
  const first = `${name(reader)}.${name(reader)}`;
  return count === 1 ? [first] : [first, `and ${count - 1} more`];
}

function exportNames(reader) {
  const count = unsigned(reader);
  const names = [];
  for (let i = 0; i < count; i++) {
    names.push(name(reader));
    reader.offset++;
    unsigned(reader);
  }
  return names;
}

function name(reader) {
  const length = unsigned(reader);
  const start = reader.offset;
  reader.offset += length;
  return new TextDecoder().decode(reader.bytes.subarray(start, reader.offset));
}

/** LEB128, at most 32 bits. */
function unsigned(reader) {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = reader.bytes[reader.offset++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return value;
  }
  throw new Error(`malformed integer before byte ${reader.offset}`);
}
