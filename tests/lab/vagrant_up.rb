# Reads a Vagrantfile and does, in Vagrant's order, what `vagrant up` does with it. Each thing that is to happen on a machine is a
# line of JSON to whoever started this; the answer is a line, too: {"code": 0, "out": "…"}.
#   ruby vagrant_up.rb VAGRANTFILE
require "json"
require "ostruct"

$stdout.sync = true

def ask(wish)
  puts JSON.generate(wish)
  JSON.parse($stdin.gets)
end

def must(wish)
  reply = ask(wish)
  abort "#{wish} failed" unless reply["code"].zero?
  reply["out"]
end

Communicator = Struct.new(:machine) do
  def test(command, sudo:)
    ask(do: "run", machine: machine, command: command, sudo: sudo)["code"].zero?
  end

  def sudo(command)
    yield :stdout, must(do: "run", machine: machine, command: command, sudo: true)
  end
end

Machine = Struct.new(:name, :provider_name) do
  def communicate
    Communicator.new(name)
  end

  def ui
    OpenStruct.new.tap { |ui| ui.define_singleton_method(:detail) { |text| warn text } }
  end
end

class Environment
  def machine(name, provider)
    Machine.new(name.to_s, provider)
  end
end

class Config
  attr_accessor :box, :hostname
  attr_reader :steps, :nodes, :addresses

  def initialize
    @steps, @nodes, @addresses = [], {}, []
  end

  def vm
    self
  end

  def trigger
    self
  end

  def synced_folder(*, **); end

  def provider(_)
    yield OpenStruct.new
  end

  def define(name, primary: false)
    yield @nodes[name] = Config.new
  end

  def network(_, ip:)
    @addresses << ip
  end

  def provision(kind, **what)
    @steps << { do: kind, **what }
  end

  def after(*events)
    found = OpenStruct.new
    found.define_singleton_method(:ruby) { |&block| block ? self.block = block : self.block }
    yield found
    @steps << found.block if events.include?(:up)
  end
end

module Vagrant
  def self.configure(_)
    yield $config = Config.new
  end
end

load ARGV.fetch(0)
machines = $config.nodes.map { |name, node| { name: name, hostname: node.hostname, addresses: node.addresses } }
must(do: "machines", box: $config.box, machines: machines)
$config.nodes.each do |name, node|
  # what Vagrant provisions comes first, then triggers
  node.steps.partition { |step| step.is_a?(Hash) }.flatten.each do |step|
    step.is_a?(Hash) ? must(machine: name, **step) : step.call(Environment.new, Machine.new(name, :stub))
  end
end
