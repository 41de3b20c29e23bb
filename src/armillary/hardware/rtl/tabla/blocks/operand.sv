// Chooses an operand among what memories have read, the own result and what others show.
module operand #(
    parameter int BITS     = 16,  // of data
    parameter int INTERNAL = 32,
    parameter int SHIFT    = 8    // bits after the point that data lack
) (
    input  logic [         3:0] source,
    input  logic [    BITS-1:0] data,
    input  logic [INTERNAL-1:0] weight,
    input  logic [INTERNAL-1:0] intermediate,
    input  logic [INTERNAL-1:0] inbox,
    input  logic [INTERNAL-1:0] result,
    input  logic [INTERNAL-1:0] left,
    input  logic [INTERNAL-1:0] right,
    input  logic [INTERNAL-1:0] bus,
    input  logic [INTERNAL-1:0] global_bus,
    output logic [INTERNAL-1:0] out
);
  logic signed [INTERNAL-1:0] wide;
  assign wide = INTERNAL'($signed(data));
  always_comb begin
    case (source)
      4'd0: out = wide << SHIFT;
      4'd1: out = weight;
      4'd2: out = intermediate;
      4'd3: out = inbox;
      4'd4: out = result;
      4'd5: out = left;
      4'd6: out = right;
      4'd7: out = bus;
      default: out = global_bus;
    endcase
  end
endmodule
