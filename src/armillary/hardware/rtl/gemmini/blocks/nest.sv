// An affine loop nest: every step moves all addresses by the jump of the loop that advances.
//
// Loop 0 is the innermost. Each loop is described by two words: in the lowest bits the iterations after its first one,
// and from OFFSETS on what to add to each address when it advances, which takes back what the loops inside it added.
// The words are read at the start alone.
module nest #(
    parameter int LOOPS = 4,
    parameter int ADDRESSES = 2,
    parameter int WIDTH = 18,  // of an address and its jumps
    parameter int COUNT = 18,
    parameter logic [ADDRESSES*8-1:0] OFFSETS = '0
) (
    input  logic                       clk,
    input  logic                       start,
    input  logic                       step,
    input  logic [      LOOPS*128-1:0] words,
    input  logic [          LOOPS-1:0] skip,       // loops to leave out
    input  logic [ADDRESSES*WIDTH-1:0] bases,
    output logic [ADDRESSES*WIDTH-1:0] addresses,
    output logic [          LOOPS-1:0] at_first,
    output logic                       at_last
);
  localparam logic [LOOPS-1:0] ONE = 1;
  logic [ADDRESSES*WIDTH-1:0] moves[LOOPS];
  logic [ADDRESSES*WIDTH-1:0] jump;
  logic [LOOPS-1:0] exhausted, once, advances, inner;

  always_comb begin
    at_last  = &exhausted;
    advances = ~exhausted & (exhausted + ONE);  // the innermost loop that has iterations left
    inner    = advances - ONE;
    jump     = '0;
    for (int l = 0; l < LOOPS; l++) if (step && advances[l]) jump = jump | moves[l];
  end

  for (genvar l = 0; l < LOOPS; l++) begin : g_loop
    logic [COUNT-1:0] left, turns;
    always_ff @(posedge clk) begin
      if (start) begin
        left <= words[l*128+:COUNT];
        turns <= words[l*128+:COUNT];
        exhausted[l] <= skip[l] || words[l*128+:COUNT] == 0;
        once[l] <= skip[l] || words[l*128+:COUNT] == 0;
        for (int a = 0; a < ADDRESSES; a++)
          moves[l][a*WIDTH+:WIDTH] <= words[l*128+32'(OFFSETS[a*8+:8])+:WIDTH];
      end else if (step && advances[l]) begin
        left <= left - 1'b1;
        exhausted[l] <= left == 1;
      end else if (step && inner[l] && !at_last) begin
        left <= turns;
        exhausted[l] <= once[l];
      end
    end
  end

  always_ff @(posedge clk) begin
    if (start) begin
      addresses <= bases;
      at_first  <= '1;
    end else if (step && !at_last) begin
      for (int a = 0; a < ADDRESSES; a++)
        addresses[a*WIDTH+:WIDTH] <= addresses[a*WIDTH+:WIDTH] + jump[a*WIDTH+:WIDTH];
      at_first <= (at_first & ~advances) | inner;
    end
  end
endmodule
