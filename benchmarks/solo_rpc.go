//go:build solo && solo_rpc

package main

func newPeer(string) soloPeer { return new(rpcPeer) }
