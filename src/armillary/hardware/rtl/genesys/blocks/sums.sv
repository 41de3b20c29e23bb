// The buffer of sums: two halves, so that the vector unit reads one while results are added to the other.
//
// A result is added to nothing, to a bias or to the sum that its address holds; it is there for whoever reads from the
// third cycle on.
module sums #(
    parameter int ARRAY   = 16,
    parameter int PSUM    = 20,
    parameter int WORDS   = 2048,  // of both halves
    parameter int ADDRESS = 11
) (
    input  logic                  clk,
    input  logic                  reset,
    input  logic                  valid,
    input  logic [           1:0] from,     // nothing, bias, sum
    input  logic [   ADDRESS-1:0] address,
    input  logic [  ARRAY*32-1:0] bias,     // in the next cycle, as the results
    input  logic [ARRAY*PSUM-1:0] results,
    input  logic                  read,
    input  logic [   ADDRESS-1:0] read_address,
    output logic [  ARRAY*32-1:0] read_word
);
  logic [1:0][ARRAY*32-1:0] words;
  logic [ARRAY*32-1:0] word, old;
  logic [ADDRESS-1:0] added_address, write_address;
  logic [1:0] added_from;
  logic adds, writes, read_half;

  for (genvar h = 0; h < 2; h++) begin : g_half
    logic ours, theirs;
    assign ours   = valid && from == 2'd2 && address[ADDRESS-1] == 1'(h);
    assign theirs = read && read_address[ADDRESS-1] == 1'(h);
    sram_1r1w #(
        .WORDS(WORDS / 2),
        .BITS (ARRAY * 32)
    ) u_sums (
        .clk(clk),
        .read(ours || theirs),
        .read_address(ours ? address[ADDRESS-2:0] : read_address[ADDRESS-2:0]),
        .out(words[h]),
        .write(writes && write_address[ADDRESS-1] == 1'(h)),
        .write_address(write_address[ADDRESS-2:0]),
        .in(word)
    );
  end
  assign read_word = words[read_half];
  assign old = words[added_address[ADDRESS-1]];

  always_ff @(posedge clk) begin
    if (read) read_half <= read_address[ADDRESS-1];
    added_address <= address;
    added_from    <= from;
    write_address <= added_address;
    adds   <= !reset && valid;
    writes <= !reset && adds;
  end
  for (genvar n = 0; n < ARRAY; n++) begin : g_column
    logic [31:0] added, result;
    assign result = 32'(signed'(results[n*PSUM+:PSUM]));
    always_comb begin
      added = '0;
      if (added_from == 2'd1) added = bias[n*32+:32];
      if (added_from == 2'd2) added = old[n*32+:32];
    end
    always_ff @(posedge clk) word[n*32+:32] <= added + result;
  end
endmodule
