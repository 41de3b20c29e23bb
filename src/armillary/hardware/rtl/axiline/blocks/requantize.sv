// Drops the last bits of a fixed-point number, rounds half up, and saturates what does not fit.
module requantize #(
    parameter int IN   = 32,
    parameter int OUT  = 16,
    parameter int DROP = 8
) (
    input  logic signed [ IN-1:0] in,
    output logic signed [OUT-1:0] out
);
  localparam int WIDE = (IN > OUT ? IN : OUT) + 1;
  localparam logic signed [WIDE-1:0] HALF = DROP == 0 ? '0 : WIDE'(1) << (DROP == 0 ? 0 : DROP - 1);
  logic signed [WIDE-1:0] rounded;
  logic fits;

  assign rounded = (WIDE'(in) + HALF) >>> DROP;
  assign fits = rounded[WIDE-1:OUT-1] == '0 || rounded[WIDE-1:OUT-1] == '1;
  assign out = fits ? rounded[OUT-1:0] : {rounded[WIDE-1], {(OUT - 1) {!rounded[WIDE-1]}}};
endmodule
