// Sends the frames of vectors.txt through the core and compares every word of the answers with the bit-exact integer model.
// Exit code 0 if all are equal, 1 if one differs or the core falls silent, 2 if vectors.txt cannot be read.
// "make run" compiles and runs it; "make run TOP=spikeloom_axis" does so around the wrapper for AXI DMA.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>
#include "verilated.h"

#ifdef AXIS
#include "Vspikeloom_axis.h"
using Top = Vspikeloom_axis;
static void set_clock(Top& top, bool high) { top.aclk = high; }
static void set_reset(Top& top, bool on) { top.aresetn = !on; top.s_axis_tkeep = 15; }
#else
#include "Vspikeloom_core.h"
using Top = Vspikeloom_core;
static void set_clock(Top& top, bool high) { top.clk = high; }
static void set_reset(Top& top, bool on) { top.rst = on; }
#endif

struct Vector {
  std::vector<uint32_t> frame;
  std::vector<std::string> answer;  // hexadecimal, or - for cycles, which the model does not know
};

static bool read_vectors(const char* path, uint64_t& patience, std::vector<Vector>& vectors) {
  std::ifstream file(path);
  std::string key;
  size_t count = 0;
  if (!(file >> key >> patience) || key != "patience") return false;
  while (file >> key >> count) {
    if (key != "frame") return false;
    Vector vector;
    for (size_t n = 0; n < count; n++) {
      uint32_t word;
      if (!(file >> std::hex >> word >> std::dec)) return false;
      vector.frame.push_back(word);
    }
    if (!(file >> key >> count) || key != "answer") return false;
    vector.answer.resize(count);
    for (std::string& word : vector.answer)
      if (!(file >> word)) return false;
    vectors.push_back(vector);
  }
  return file.eof() && !vectors.empty();
}

class Bench {
 public:
  explicit Bench(VerilatedContext& context) : top_(std::make_unique<Top>(&context)) {
    top_->s_axis_tvalid = 0;
    top_->m_axis_tready = 0;
    set_reset(*top_, true);
    for (int n = 0; n < 4; n++) tick();
    set_reset(*top_, false);
    for (int n = 0; n < 2; n++) tick();
  }
  ~Bench() { top_->final(); }

  // Inputs change while the clock is low; what is read then is what the next rising edge takes.
  bool run(const Vector& vector, uint64_t patience, std::vector<uint32_t>& answer) {
    size_t sent = 0;
    for (uint64_t waited = 0; waited < patience; waited++) {
      top_->s_axis_tvalid = sent < vector.frame.size();
      top_->s_axis_tdata = sent < vector.frame.size() ? vector.frame[sent] : 0;
      top_->s_axis_tlast = sent + 1 == vector.frame.size();
      top_->m_axis_tready = waited % 3 != 0;
      top_->eval();
      const bool takes = top_->s_axis_tvalid && top_->s_axis_tready;
      const bool gives = top_->m_axis_tvalid && top_->m_axis_tready;
      const bool last = top_->m_axis_tlast;
      if (gives) answer.push_back(top_->m_axis_tdata);
      tick();
      sent += takes;
      if (gives && last) return true;
    }
    return false;
  }

 private:
  void tick() {
    set_clock(*top_, true);
    top_->eval();
    set_clock(*top_, false);
    top_->eval();
  }
  std::unique_ptr<Top> top_;
};

int main(int argc, char** argv) {
  uint64_t patience = 0;
  std::vector<Vector> vectors;
  const char* path = argc > 1 ? argv[1] : "vectors.txt";
  if (!read_vectors(path, patience, vectors)) {
    std::fprintf(stderr, "error: cannot read vectors from %s; run this in the folder of spikeloom generate\n", path);
    return 2;
  }
  VerilatedContext context;
  context.commandArgs(argc, argv);
  Bench bench(context);
  int wrong = 0;
  for (size_t number = 0; number < vectors.size(); number++) {
    const Vector& vector = vectors[number];
    std::vector<uint32_t> answer;
    if (!bench.run(vector, patience, answer)) {
      std::printf("FAIL vector %zu: no whole answer in %llu clocks\n", number, (unsigned long long)patience);
      return 1;
    }
    if (answer.size() != vector.answer.size()) {
      std::printf("FAIL vector %zu: %zu words, expected %zu\n", number, answer.size(), vector.answer.size());
      wrong++;
      continue;
    }
    for (size_t place = 0; place < answer.size(); place++) {
      if (vector.answer[place] == "-") continue;
      const uint32_t expected = std::stoul(vector.answer[place], nullptr, 16);
      if (answer[place] == expected) continue;
      std::printf("FAIL vector %zu, word %zu: %08x, expected %08x\n", number, place, answer[place], expected);
      wrong++;
    }
  }
  if (wrong == 0) std::printf("PASS %zu vectors, all words exact\n", vectors.size());
  return wrong != 0;
}
