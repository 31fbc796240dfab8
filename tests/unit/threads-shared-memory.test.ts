/** Shared memory between its uses: what is lent out at the same time never overlaps, and little is kept. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { SharedMemory } from "../../src/backend/wasm/threads/shared-memory.ts";

test("what is lent has the size that was asked for, and nobody else has it", () => {
  const actions = fc.array(
    fc.record({ numbers: fc.integer({ min: 0, max: 300 }), givesBack: fc.boolean() }),
    { maxLength: 60 },
  );
  const property = fc.property(actions, (list) => {
    const memory = new SharedMemory();
    const lent: Float32Array<SharedArrayBuffer>[] = [];
    for (const { numbers, givesBack } of list) {
      if (givesBack && lent.length > 0) {
        memory.giveBack(lent.splice(numbers % lent.length, 1)[0]!);
      } else {
        const room = memory.lend(numbers);
        expect(room).toHaveLength(numbers);
        expect(lent.map(({ buffer }) => buffer)).not.toContain(room.buffer);
        lent.push(room);
      }
    }
  });
  fc.assert(property);
});

test("what was given back serves those who ask for as much, or half of it", () => {
  const memory = new SharedMemory();
  const { buffer } = memory.lend(1000);
  memory.giveBack(new Float32Array(buffer));
  const less = memory.lend(500);
  expect(less.buffer).toBe(buffer);
  memory.giveBack(less);
  expect(memory.lend(499).buffer).not.toBe(buffer);
  expect(memory.lend(1001).buffer).not.toBe(buffer);
  expect(memory.lend(900).buffer).toBe(buffer);
});

test("no more than 64 MB are kept, the last given back", () => {
  const memory = new SharedMemory();
  const rooms = Array.from({ length: 4 }, () => memory.lend(5e6));
  for (const room of rooms) memory.giveBack(room);
  const again = rooms.map(() => memory.lend(5e6).buffer);
  const kept = rooms.map(({ buffer }) => again.includes(buffer));
  expect(kept).toEqual([false, true, true, true]);
});
