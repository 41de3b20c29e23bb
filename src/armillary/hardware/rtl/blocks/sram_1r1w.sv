// A memory of a port to read and a port to write; what it reads is there in the next cycle and stays until the next read.
//
// Behavioural, to be swapped for a macro of the same name, words and bits. Nothing resets it, nothing relies on what it
// holds before it is written, and nobody reads a word in the cycle in which it is written.
module sram_1r1w #(
    parameter int WORDS = 512,
    parameter int BITS  = 512
) (
    input  logic                     clk,
    input  logic                     read,
    input  logic [$clog2(WORDS)-1:0] read_address,
    output logic [         BITS-1:0] out,
    input  logic                     write,
    input  logic [$clog2(WORDS)-1:0] write_address,
    input  logic [         BITS-1:0] in
);
  logic [BITS-1:0] words[WORDS];
  always_ff @(posedge clk) begin
    if (read) out <= words[read_address];
    if (write) words[write_address] <= in;
  end
endmodule
