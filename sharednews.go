package multiprolab

import (
	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what main and a worker tell each other of shared data.

// shareNews is what main tells a worker of shared data: in an answer which version is in the lane,
// or why none is; otherwise which version there is now.
type shareNews struct {
	Version uint64 // the number of the version
	Size    int64  // its size in bytes
	Handle  uint64 // where the worker finds it, see shared.Lane
	Failure string // the packed error; empty if there is none
}

// Pack describes the layout.
func (n *shareNews) Pack(p *pack.Packing) {
	version, handle := int64(n.Version), int64(n.Handle)
	pack.Number(p, &version)
	pack.Number(p, &n.Size)
	pack.Number(p, &handle)
	pack.Text(p, &n.Failure)
	n.Version, n.Handle = uint64(version), uint64(handle)
}

// shareFrame returns the frame with which main tells a worker of shared data. id is that of the
// question, or 0.
func shareFrame(name string, id uint64, n *shareNews) *wire.Frame {
	f := packedFrame(wire.Share, n)
	f.Type, f.ID = name, id
	return f
}
