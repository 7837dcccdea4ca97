//go:build solo && solo_multiprolab

package main

func newPeer(kind string) soloPeer { return &labPeer{calls: kind == "calls"} }
