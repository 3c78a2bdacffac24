// The whole pipeline for one instruction set; the including file has opened an anonymous namespace and defined the vectors and layers.
//
// Nothing of the standard library is used here: its templates would be emitted as shared symbols compiled for this instruction set, and
// the linker could pick them for code that runs before the dispatch.
#include "math.inl"
#include "encode.inl"
#include "march.inl"
#include "head.inl"
#include "torso.inl"
#include "picture.inl"
