// How many rows of a run the next burst moves: no more than are left, than are allowed, than fit in 256 beats, or than lie
// before the next boundary of 4 KiB.
module burst #(
    parameter int PITCH = 16,  // bytes of a row of bytes
    parameter int BUS   = 16,  // bytes per beat
    parameter int WIDTH = 18,  // of the rows of a run
    parameter int ROWS  = 7    // of the rows of a burst
) (
    input  logic             wide,     // rows of 32-bit words
    input  logic [ ROWS-1:0] most,
    input  logic [     11:0] address,  // of the next row, its last bits
    input  logic [WIDTH-1:0] left,
    output logic [ ROWS-1:0] rows
);
  localparam int BEATS = PITCH / BUS;
  localparam int NARROW = $clog2(PITCH);
  localparam logic [ROWS-1:0] NARROWEST = 256 / BEATS > 64 ? 7'd64 : ROWS'(256 / BEATS);  // rows in 256 beats
  localparam logic [ROWS-1:0] WIDEST = 64 / BEATS > 64 ? 7'd64 : ROWS'(64 / BEATS);
  logic [12:0] to_boundary;
  assign to_boundary = (13'd4096 - {1'b0, address}) >> (wide ? NARROW + 2 : NARROW);
  always_comb begin
    rows = wide && most > WIDEST ? WIDEST : !wide && most > NARROWEST ? NARROWEST : most;
    if (to_boundary < 13'(rows)) rows = ROWS'(to_boundary);
    if (left < WIDTH'(rows)) rows = ROWS'(left);
  end
endmodule
