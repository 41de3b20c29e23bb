// Puts beats together to a row of DIM bytes, or of DIM 32-bit words, which stays until it is used.
module gather #(
    parameter int BUS   = 16,
    parameter int PITCH = 16,
    parameter int DIM   = 16
) (
    input  logic              clk,
    input  logic              reset,
    input  logic              wide,
    input  logic              take,       // not while a row is there that is not used in this cycle
    input  logic [ BUS*8-1:0] beat_data,
    input  logic              used,
    output logic              there,
    output logic [DIM*32-1:0] row
);
  localparam int MOST = 4 * PITCH / BUS;
  localparam int COUNT = $clog2(MOST) + 1;
  logic [COUNT-1:0] got, last;
  logic [PITCH*32-1:0] kept;

  assign last = wide ? COUNT'(MOST - 1) : COUNT'(PITCH / BUS - 1);
  assign row = kept[DIM*32-1:0];
  wire unused = &{1'b0, kept};  // the rest of the last beats, where the array is no power of two wide
  always_ff @(posedge clk) begin
    if (reset) begin
      got   <= '0;
      there <= 1'b0;
    end else begin
      if (take) got <= got == last ? '0 : got + 1'b1;
      there <= (take && got == last) || (there && !used);
    end
    if (take) for (int b = 0; b < MOST; b++) if (got == COUNT'(b)) kept[b*BUS*8+:BUS*8] <= beat_data;
  end
endmodule
