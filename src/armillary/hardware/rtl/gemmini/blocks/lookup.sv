// Rows of bytes become what a table makes of each byte: 256 entries per lane, a memory each.
//
// A row that goes in in a cycle of `take` is on the output in the next and stays there until the next `take`. Entry `write_entry`
// of every table is a byte of `write_data`, its lane's. A byte chooses an entry by its bits: those of -1 are 255.
module lookup #(
    parameter int DIM = 16
) (
    input  logic             clk,
    input  logic             take,
    input  logic [DIM*8-1:0] in,
    output logic [DIM*8-1:0] out,
    input  logic             write,        // not in a cycle of `take`
    input  logic [      7:0] write_entry,
    input  logic [DIM*8-1:0] write_data
);
  for (genvar d = 0; d < DIM; d++) begin : g_lane
    sram_1rw #(.WORDS(256), .BITS(8)) memory (
        .clk, .enable(take || write), .write, .address(write ? write_entry : in[d*8+:8]), .in(write_data[d*8+:8]),
        .out(out[d*8+:8])
    );
  end
endmodule
