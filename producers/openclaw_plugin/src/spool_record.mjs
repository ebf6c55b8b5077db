/**
 * One record of a spool segment: length, CRC32C, sequence number, bytes.
 *
 * Upstream: `spool.mjs` appends and reads them.
 * Downstream: `crc32c.mjs`.
 * Guarantee: pure; a damaged record is never returned, and reading goes on at the next whole one.
 */

import { crc32c } from "./crc32c.mjs";

/** u32 length of the payload, u32 CRC32C of sequence number and payload, u64 sequence number; little endian. */
export const HEADER_BYTES = 16;
/** The gateway takes events up to 512 KiB; nothing larger is ever written. */
export const MAX_PAYLOAD_BYTES = 600 * 1024;

/**
 * @param {number} seq
 * @param {Uint8Array} payload
 * @returns {Buffer}
 */
export function encodeRecord(seq, payload) {
  const record = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  record.writeUInt32LE(payload.length, 0);
  record.writeBigUInt64LE(BigInt(seq), 8);
  record.set(payload, HEADER_BYTES);
  record.writeUInt32LE(crc32c(record, 8), 4);
  return record;
}

/**
 * Read the record that begins at an offset.
 * @param {Buffer} bytes
 * @param {number} offset
 * @returns {{seq: number, payload: Buffer, end: number} | null} null when there is no whole record
 */
export function readRecord(bytes, offset) {
  if (offset + HEADER_BYTES > bytes.length) return null;
  const length = bytes.readUInt32LE(offset);
  const end = offset + HEADER_BYTES + length;
  if (length > MAX_PAYLOAD_BYTES || end > bytes.length) return null;
  // Cheaper than the sum, and rules out nearly everything when looking for the next whole record.
  if (bytes.readUInt32LE(offset + 12) >= 1 << 21) return null;
  if (crc32c(bytes, offset + 8, end) !== bytes.readUInt32LE(offset + 4)) return null;
  return { seq: Number(bytes.readBigUInt64LE(offset + 8)), payload: bytes.subarray(offset + HEADER_BYTES, end), end };
}

/**
 * Read all whole records from an offset on; damaged stretches are skipped and counted.
 * @param {Buffer} bytes
 * @param {number} offset
 * @returns {Generator<{seq: number, payload: Buffer, start: number, end: number, num_skipped_bytes: number}>}
 */
export function* readRecords(bytes, offset = 0) {
  let at = offset;
  let skippedFrom = offset;
  while (at + HEADER_BYTES <= bytes.length) {
    const record = readRecord(bytes, at);
    if (record === null) {
      at += 1;
      continue;
    }
    yield { ...record, start: at, num_skipped_bytes: at - skippedFrom };
    at = record.end;
    skippedFrom = at;
  }
}
