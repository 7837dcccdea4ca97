//go:build solo && solo_plugin

package main

func newPeer(kind string) soloPeer {
	if kind == "grpc" {
		return new(grpcPluginPeer)
	}
	return new(rpcPluginPeer)
}
