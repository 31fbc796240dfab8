import { expect, it } from "vitest";
import { Traffic } from "../../src/backend/webgpu/traffic.ts";

it("counts what has been added since a snapshot, which stays as it was", () => {
  const traffic = new Traffic();
  traffic.submits = 2;
  traffic.bytesUploaded = 100;
  const before = traffic.snapshot();
  traffic.submits += 3;
  traffic.dispatches += 40;
  traffic.bytesDownloaded += 8;
  const added = {
    submits: 3,
    dispatches: 40,
    bytesUploaded: 0,
    bytesDownloaded: 8,
    readbacks: 0,
    buffersCreated: 0,
    pipelinesCompiled: 0,
  };
  expect(traffic.since(before)).toEqual(added);
  expect(before).toMatchObject({ submits: 2, dispatches: 0, bytesUploaded: 100 });
  expect(traffic).toMatchObject({ submits: 5, dispatches: 40 });
});
