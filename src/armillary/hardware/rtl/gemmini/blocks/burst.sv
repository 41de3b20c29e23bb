// How many rows of a run the next burst moves: no more than are left, than are allowed, than fit in 256 beats, or than lie
// before the next boundary of 4 KiB. Rows begin at multiples of their bytes.
//
// All comparisons and all differences that may be chosen by them are made side by side.
module burst #(
    parameter int PITCH = 16,  // bytes of a row of bytes
    parameter int BUS   = 16,  // bytes per beat
    parameter int WIDTH = 18,  // of the rows of a run
    parameter int ROWS  = 7    // of the rows of a burst
) (
    input  logic             wide,     // rows of 32-bit words
    input  logic [ ROWS-1:0] most,
    input  logic [     31:0] address,  // of the next row
    input  logic [WIDTH-1:0] left,
    output logic [ ROWS-1:0] less_one,      // rows of the burst, less one
    output logic             ends,          // these are all that are left
    output logic [     31:0] next_address,  // else, of the burst after it
    output logic [WIDTH-1:0] next_left
);
  localparam int BEATS = PITCH / BUS;
  localparam int NARROW = $clog2(PITCH);
  localparam logic [ROWS-1:0] NARROWEST = 256 / BEATS > 64 ? 7'd64 : ROWS'(256 / BEATS);  // rows in 256 beats
  localparam logic [ROWS-1:0] WIDEST = 64 / BEATS > 64 ? 7'd64 : ROWS'(64 / BEATS);
  localparam int PAGE = 12 - NARROW;
  logic [PAGE-1:0] room;  // rows before the boundary, less one
  logic [ROWS-1:0] allowed, allowed_less_one;
  logic crosses;
  assign room = wide ? PAGE'(~address[11:NARROW] >> 2) : ~address[11:NARROW];
  assign allowed = wide && most > WIDEST ? WIDEST : !wide && most > NARROWEST ? NARROWEST : most;
  assign allowed_less_one = allowed - 1'b1;
  assign crosses = 32'(room) <= 32'(allowed_less_one);
  assign ends = 32'(left) <= 32'(room) + 1 && left <= WIDTH'(allowed);
  assign less_one = ends ? ROWS'(left - 1'b1) : crosses ? ROWS'(room) : allowed_less_one;
  assign next_left = crosses ? left + ~(WIDTH'(room)) : left - WIDTH'(allowed);
  assign next_address = crosses ? {address[31:12] + 1'b1, 12'd0} :
      {address[31:12], address[11:0] + (wide ? 12'(allowed) << (NARROW + 2) : 12'(allowed) << NARROW)};
endmodule
