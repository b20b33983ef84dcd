// Draws a saved latent with an exported network:
//   npm install --ignore-scripts
//   node draw.js synthesis.onnx latent.safetensors face.ppm
//   node draw.js smiling.mapper_synthesis.onnx latent.safetensors face.ppm 1.0 0
// The last two are a mapper's strength and the number of its prompt.
import { readFileSync, writeFileSync } from "node:fs";
import { InferenceSession, Tensor } from "onnxruntime-node";

const [network, latent, picture, strength, prompt] = process.argv.slice(2);
const file = readFileSync(latent);
const header = Number(file.readBigUInt64LE());
const { shape } = JSON.parse(file.toString("utf8", 8, 8 + header)).latent;
const inputs = { w_plus: new Tensor("float32", new Float32Array(new Uint8Array(file.subarray(8 + header)).buffer), shape) };
if (strength) inputs.strength = new Tensor("float32", [Number(strength)], [1]);
if (prompt) inputs.prompt = new Tensor("int64", [BigInt(prompt)], [1]);
const session = await InferenceSession.create(network);
const { image } = await session.run(inputs);
const size = image.dims[2] * image.dims[3];
const pixels = Buffer.alloc(3 * size); // From a plane a colour, -1 to 1, to RGB.
image.data.subarray(0, 3 * size).forEach((value, i) => {
  pixels[3 * (i % size) + Math.floor(i / size)] = Math.round(Math.min(Math.max((value + 1) * 127.5, 0), 255));
});
writeFileSync(picture, Buffer.concat([Buffer.from(`P6\n${image.dims[3]} ${image.dims[2]}\n255\n`), pixels]));
