// Leaves out the last bits of a fixed-point number, and saturates what does not fit. Whoever wants it rounded adds half of
// the last bit that stays.
module saturate #(
    parameter int IN   = 32,
    parameter int OUT  = 16,  // at most IN - DROP
    parameter int DROP = 8
) (
    input  logic signed [ IN-1:0] in,
    output logic signed [OUT-1:0] out
);
  logic fits;
  assign fits = in[IN-1:DROP+OUT-1] == '0 || in[IN-1:DROP+OUT-1] == '1;
  assign out  = fits ? in[DROP+:OUT] : {in[IN-1], {(OUT - 1) {!in[IN-1]}}};
  if (DROP > 0) begin : g_dropped
    wire unused = &{1'b0, in[DROP-1:0]};
  end
endmodule
