// Streams inputs through an accelerator of the axiline template and tells what left it, and when.
//
// Everything is 64-bit words. In, on standard input: seed of pauses (0: none), most cycles, number of inputs; then what is
// loaded, and the parts of the inputs, each padded to whole words.
//   inference: bias, CYCLES parts of weights; per part of an input its elements
//   training:  rate, hinge, CYCLES parts of weights; per part of an input its elements, then the label
//   tree:      number of nodes and leaves, the content of each; per part of an input its elements
// Out, on standard output: per input the cycle in which its first part was taken, that of its prediction, the prediction,
// and that in which its step was done; in training the new factors of each item, part by part; and the weights.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "Vaxiline.h"
#include "verilated.h"

using Words = std::vector<int64_t>;

template <typename Port>
void give(Port& port, const int64_t* words) {
  std::memcpy(&port, words, sizeof port);
}

template <typename Port>
void take(const Port& port, int words, Words& to) {
  static_assert(sizeof(Port) <= 8 * WEIGHT_WORDS, "a port is wider than its words");
  to.resize(to.size() + words, 0);
  std::memcpy(&to[to.size() - words], &port, sizeof port);
}

int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  Vaxiline top;
  Words job, firsts, predicted, predictions, steps, items, weights;
  int64_t word;
  while (std::fread(&word, sizeof word, 1, stdin) == 1) job.push_back(word);
  const int64_t* next = job.data();
  uint64_t random = *next++;
  const bool pauses = random != 0;
  const int64_t most = *next++, inputs = *next++;
  auto edge = [&] {
    for (int level : {0, 1}) {
      top.clk = level;
      top.eval();
    }
  };
  top.reset = 1;
  top.in_valid = 0;
#if PIPELINE == 3
  top.write = 0;
#else
  top.weights_write = 0;
#endif
  edge();
  top.reset = 0;

#if PIPELINE == 3
  const int64_t nodes = *next++;
  top.write = 1;
  for (int64_t n = 0; n < nodes; n++) {
    top.write_node = n;
    top.write_content = *next++;
    edge();
  }
  top.write = 0;
#else
#if PIPELINE == 1
  top.bias_write = 1;
  Words bias(WEIGHT_WORDS, 0);
  bias[0] = *next++;
  give(top.weights_in, bias.data());
  edge();
  top.bias_write = 0;
#else
  top.rate = *next++;
  top.hinge = *next++;
#endif
  top.weights_write = 1;
  for (int c = 0; c < CYCLES; c++, next += WEIGHT_WORDS) {
    top.weights_address = c;
    give(top.weights_in, next);
    edge();
  }
  top.weights_write = 0;
#endif

  constexpr int LABEL_WORDS = PIPELINE == 2 ? 1 : 0;
  int64_t part = 0, cycle = 0;
  auto done = [&] {
    const Words& last = PIPELINE == 2 ? steps : predictions;
    return static_cast<int64_t>(last.size()) == inputs;
  };
  for (; !done(); cycle++) {
    if (cycle == most) {
      std::fprintf(stderr, "not done after %lld cycles\n", static_cast<long long>(most));
      return 1;
    }
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    top.in_valid = part < inputs * CYCLES && !(pauses && (random & 1));
    if (part < inputs * CYCLES) {
      const int64_t* own = next + part * (VECTOR_WORDS + LABEL_WORDS);
      give(top.in_vector, own);
#if PIPELINE == 2
      top.in_label = own[VECTOR_WORDS];
#endif
    }
    top.clk = 0;
    top.eval();
#if PIPELINE == 2
    const bool taken = top.in_valid && top.in_ready;
    if (top.items_valid) take(top.items_out, WEIGHT_WORDS, items);
    if (top.step_done) steps.push_back(cycle);
#else
    const bool taken = top.in_valid;
#endif
    if (taken && part % CYCLES == 0) firsts.push_back(cycle);
    if (top.out_valid) {
      predicted.push_back(cycle);
      predictions.push_back(static_cast<int64_t>(top.out));
    }
    part += taken;
    top.clk = 1;
    top.eval();
  }
#if PIPELINE == 2
  for (int c = 0; c < CYCLES; c++) {
    top.weights_address = c;
    top.eval();
    take(top.weights_out, WEIGHT_WORDS, weights);
  }
#endif
  if (steps.empty()) steps.assign(inputs, 0);
  for (const Words* words : {&firsts, &predicted, &predictions, &steps, &items, &weights})
    std::fwrite(words->data(), sizeof(int64_t), words->size(), stdout);
  return 0;
}
