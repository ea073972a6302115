def test_a_configmap_is_stored(core):
    core.create_namespaced_config_map("default", {"metadata": {"name": "stored"}, "data": {"a": "1"}})
    assert core.read_namespaced_config_map("stored", "default").data == {"a": "1"}
