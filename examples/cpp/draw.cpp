// Draws a saved latent with an exported network, without Python.
//
//   draw libstyleclip_ops.so synthesis.fused.ts latent.safetensors face.ppm
//   draw libstyleclip_ops.so smiling.mapper_synthesis.fused.ts latent.safetensors face.ppm 1.0 0
//
// The last two are a mapper's strength and the number of its prompt.
#include <ATen/core/dispatch/Dispatcher.h>
#include <dlfcn.h>
#include <torch/script.h>

#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// Fused files name operators of the op library, which registers them when it is loaded.
void load_ops(const char* path) {
  if (dlopen(path, RTLD_NOW | RTLD_GLOBAL) == nullptr) throw std::runtime_error(dlerror());
}

// Loads a network, whose file must have been made for the op library of this version.
torch::jit::Module load_network(const char* path) {
  torch::jit::ExtraFilesMap files{{"styleclip_rt.json", ""}};
  torch::jit::Module network = torch::jit::load(path, std::nullopt, files);
  const std::string& description = files["styleclip_rt.json"];
  const std::regex pattern(R"re("version": "([^"]*)")re");
  std::smatch made_for;
  if (!std::regex_search(description, made_for, pattern)) {
    throw std::runtime_error(std::string(path) + " is no file of styleclip export");
  }
  const std::string version = c10::Dispatcher::singleton()
                                  .findSchemaOrThrow("styleclip_rt::version", "")
                                  .typed<std::string()>()
                                  .call();
  if (made_for.str(1) != version) {
    throw std::runtime_error(std::string(path) + " was made for version " + made_for.str(1) +
                             ", but the op library is of version " + version);
  }
  return network;
}

// The one tensor of a safetensors file as `styleclip edit` saves it: the length of a JSON header,
// the header, then float32 numbers.
at::Tensor read_latent(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::uint64_t length = 0;
  file.read(reinterpret_cast<char*>(&length), sizeof length);
  if (!file || length > 100'000) throw std::runtime_error(std::string(path) + " is no latent");
  std::string header(length, ' ');
  file.read(header.data(), static_cast<std::streamsize>(length));
  std::smatch shape;
  const std::regex w_plus(R"("shape":\[(\d+),(\d+),(\d+)\])");
  if (!std::regex_search(header, shape, w_plus)) {
    throw std::runtime_error(std::string(path) + " holds no w+");
  }
  at::Tensor latent = torch::empty({std::stol(shape[1]), std::stol(shape[2]), std::stol(shape[3])});
  file.read(static_cast<char*>(latent.data_ptr()), static_cast<std::streamsize>(latent.nbytes()));
  if (!file) throw std::runtime_error(std::string(path) + " is cut short");
  return latent;
}

// The first image of [N, 3, H, W] in [-1, 1] as a binary PPM.
void write_picture(const at::Tensor& images, const char* path) {
  const at::Tensor pixels = ((images[0].clamp(-1, 1) + 1) * 127.5)
                                .round()
                                .to(torch::kUInt8)
                                .permute({1, 2, 0})
                                .contiguous();
  std::ofstream file(path, std::ios::binary);
  file << "P6\n" << pixels.size(1) << ' ' << pixels.size(0) << "\n255\n";
  file.write(static_cast<const char*>(pixels.data_ptr()), pixels.numel());
  if (!file.flush()) throw std::runtime_error(std::string("cannot write ") + path);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5 && argc != 7) {
    std::cerr << "usage: draw OPS NETWORK LATENT PICTURE.ppm [STRENGTH PROMPT]\n";
    return 2;
  }
  load_ops(argv[1]);
  torch::jit::Module network = load_network(argv[2]);
  const at::Tensor latent = read_latent(argv[3]);
  std::vector<c10::IValue> inputs{latent};
  if (argc == 7) {
    inputs.emplace_back(torch::full({latent.size(0)}, std::stof(argv[5])));
    inputs.emplace_back(torch::full({latent.size(0)}, std::stol(argv[6]), torch::kInt64));
  }
  const torch::NoGradGuard no_grad;
  write_picture(network.forward(inputs).toTensor(), argv[4]);
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << '\n';
  return 2;
}
