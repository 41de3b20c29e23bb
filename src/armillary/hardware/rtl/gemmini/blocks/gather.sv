// Puts beats together to a row of DIM bytes, or of DIM 32-bit words; the last beat counts in the cycle it comes.
module gather #(
    parameter int BUS   = 16,
    parameter int PITCH = 16,
    parameter int DIM   = 16
) (
    input  logic              clk,
    input  logic              reset,
    input  logic              wide,
    input  logic              show,      // a beat is there that may be the last of its row
    input  logic              take,
    input  logic [ BUS*8-1:0] beat_data,
    output logic              complete,  // a beat in this cycle would end the row
    output logic [DIM*32-1:0] row
);
  localparam int MOST = 4 * PITCH / BUS;
  localparam int COUNT = $clog2(MOST) + 1;
  logic [COUNT-1:0] got, last;
  logic [PITCH*32-1:0] kept, joined;

  assign last = wide ? COUNT'(MOST - 1) : COUNT'(PITCH / BUS - 1);
  assign complete = got == last;
  always_comb begin
    joined = '0;
    if (show && complete) begin
      joined = kept;
      for (int b = 0; b < MOST; b++) if (got == COUNT'(b)) joined[b*BUS*8+:BUS*8] = beat_data;
    end
  end
  assign row = joined[DIM*32-1:0];
  wire unused = &{1'b0, joined};  // the rest of the last beats, where the array is no power of two wide
  always_ff @(posedge clk) begin
    if (reset) got <= '0;
    else if (take) got <= complete ? '0 : got + 1'b1;
    if (take && !complete)
      for (int b = 0; b < MOST; b++) if (got == COUNT'(b)) kept[b*BUS*8+:BUS*8] <= beat_data;
  end
endmodule
