// A memory of one port that reads or writes; what it reads is there in the next cycle and stays until the next read.
//
// Behavioural, to be swapped for a macro of the same name, words and bits. Nothing resets it, and nothing relies on
// what it holds before it is written.
module sram_1rw #(
    parameter int WORDS = 1024,
    parameter int BITS  = 128
) (
    input  logic                     clk,
    input  logic                     enable,
    input  logic                     write,
    input  logic [$clog2(WORDS)-1:0] address,
    input  logic [         BITS-1:0] in,
    output logic [         BITS-1:0] out
);
  logic [BITS-1:0] words[WORDS];
  always_ff @(posedge clk)
    if (enable) begin
      if (write) words[address] <= in;
      else out <= words[address];
    end
endmodule
