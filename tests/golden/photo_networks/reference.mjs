// Runs the TensorFlow.js models on face.png; see RECIPE.md.
// node reference.mjs MODELS outputs.json < face.rgb
import { readFileSync, writeFileSync } from "node:fs";
import * as tf from "@tensorflow/tfjs";

const [folder, out] = process.argv.slice(2);
const side = 256;
const pixels = Float32Array.from(readFileSync(0));
const face = tf.tensor(pixels, [1, side, side, 3]);
const middle = face.slice([0, 32, 32, 0], [1, 192, 192, 3]);

async function run(name, input, outputs) {
  const spec = JSON.parse(readFileSync(`${folder}/${name}.json`));
  const weights = readFileSync(`${folder}/${name}.bin`);
  const model = await tf.loadGraphModel(
    tf.io.fromMemory({
      modelTopology: spec.modelTopology,
      weightSpecs: spec.weightsManifest.flatMap((group) => group.weights),
      weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength),
    }),
  );
  const found = [model.execute(input, Object.values(outputs))].flat();
  return Object.fromEntries(Object.keys(outputs).map((key, i) => [key, Array.from(found[i].dataSync())]));
}

await tf.setBackend("cpu");
const results = {
  detector: await run("blazeface-back", face.div(127.5).sub(1), {
    fine_scores: "Identity", coarse_scores: "Identity_1",
    fine_boxes: "Identity_2", coarse_boxes: "Identity_3",
  }),
  mesh: await run("facemesh-attention", middle.div(255), {
    presence: "Identity", left_eye: "Identity_1", left_iris: "Identity_2", lips: "Identity_3",
    points: "Identity_4", right_eye: "Identity_5", right_iris: "Identity_6",
  }),
  segmenter: await run("selfie", face.div(255), { person: "activation_10" }),
};
writeFileSync(out, JSON.stringify(results));
