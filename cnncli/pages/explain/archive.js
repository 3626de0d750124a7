/** What the page was written of: the manifest, and tensors out of blobs that are unpacked when they are first needed. */

const blobs = new Map();

/** Return the manifest: parts of the network, views (one an image), class names, preprocessing. */
export function readManifest() {
  return JSON.parse(document.getElementById("manifest").textContent);
}

/** Unpack the blob of this id, once; tensors of it can be read from then on. */
export async function unpack(id) {
  if (blobs.has(id)) return;
  const letters = atob(document.getElementById(id).textContent);
  const packed = new Uint8Array(letters.length);
  for (let place = 0; place < letters.length; place++) packed[place] = letters.charCodeAt(place);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  blobs.set(id, new Uint8Array(await new Response(stream).arrayBuffer()));
}

/** Return a tensor's numbers, Float32Array; of quantised ones they are within half a step. */
export function numbersOf(reference) {
  const size = reference.shape.reduce((product, side) => product * side, 1);
  const bytes = blobs.get(reference.blob);
  if (reference.range) return dequantised(bytes.subarray(reference.offset, reference.offset + size), reference.range);
  const ordered = new Uint8Array(4 * size); // each number's four bytes together again
  for (let place = 0; place < 4; place++) {
    const start = reference.offset + place * size;
    for (let number = 0; number < size; number++) ordered[4 * number + place] = bytes[start + number];
  }
  return new Float32Array(ordered.buffer);
}

function dequantised(steps, [low, high]) {
  return Float32Array.from(steps, (step) => low + (step / 255) * (high - low));
}
